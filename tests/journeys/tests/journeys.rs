
//! The stories that live side by side. One binary, one link.

#![allow(clippy::unwrap_used, reason = "a test may end at once")]

#[path = "a_person_gets_a_wordpress.rs"]
mod a_person_gets_a_wordpress;
#[path = "an_operator_stops_resizes_deletes.rs"]
mod an_operator_stops_resizes_deletes;
#[path = "the_gateway_restarts_under_load.rs"]
mod the_gateway_restarts_under_load;
#[path = "two_organizations_cannot_reach_each_other.rs"]
mod two_organizations_cannot_reach_each_other;
