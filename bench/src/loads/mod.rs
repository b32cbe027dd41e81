//! Loads beside calls: orders, dispatch, a bad web server, what runs inside one process, and the headline.

pub mod calls;
pub mod dispatch;
pub mod headline;
pub mod inside;
pub mod ivr;
pub mod orders;
pub mod site;
pub mod web;
