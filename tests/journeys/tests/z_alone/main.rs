//! The stories that disturb others: they have the lab to themselves, but for two that do not meet. One binary,
//! one link.

mod a_node_has_no_disk_left;
mod somebody_takes_our_labels_away;
mod the_api_server_is_away;
mod the_gateway_restarts_under_load;
mod the_leading_operator_is_killed;
