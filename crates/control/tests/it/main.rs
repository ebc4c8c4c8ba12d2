//! Control's tests over real sockets and real files, with a fake driver.

mod agent;
mod world;
