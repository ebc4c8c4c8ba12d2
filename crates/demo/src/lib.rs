//! The demo world's real parts: an order service, a scheduler, a DNS server and a load generator,
//! and the report about what they went through. It knows no planner, engine or driver.

pub mod acts;
mod clock;
pub mod dns;
mod error;
pub mod load;
pub mod order_service;
pub mod report;
pub mod result;
pub mod scheduler;
mod stop;
mod web;
pub mod world;

pub use error::PartError;
