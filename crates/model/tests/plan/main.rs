//! Plan files from the outside: bytes in, a plan or every problem out.

mod common;
mod defaults;
mod example;
mod hostile;
mod pages;
mod properties;
mod schema;
mod template;
mod values;
