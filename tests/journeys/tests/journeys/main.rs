//! The stories that live side by side. One binary, one link.

mod a_certificate_of_ones_own;
mod a_customer_brings_a_domain;
mod a_name_moves_to_another_organization;
mod a_person_gets_a_wordpress;
mod a_renewal_goes_unnoticed;
mod a_second_app_is_data_only;
mod a_visitor_comes_early;
mod a_wildcard_by_a_delegated_challenge;
mod a_wordpress_gets_by_without_help;
mod an_apex_is_proven_by_txt;
mod an_app_is_added_while_everything_runs;
mod an_operator_stops_resizes_deletes;
mod bad_wishes_are_explained;
mod nobody_takes_an_address;
mod the_api_server_is_away;
mod the_gateway_restarts_under_load;
mod the_leading_operator_is_killed;
mod two_organizations_cannot_reach_each_other;
