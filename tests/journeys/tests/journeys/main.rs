//! The stories that live side by side. One binary, one link.

mod a_certificate_of_ones_own;
mod a_customer_brings_a_domain;
mod a_full_organization_goes_on;
mod a_name_moves_to_another_organization;
mod a_person_gets_a_wordpress;
mod a_renewal_goes_unnoticed;
mod a_second_app_is_data_only;
mod a_service_asks_what_somebody_may;
mod a_site_for_members;
mod a_site_moves_here;
mod a_visitor_comes_early;
mod a_wildcard_by_a_delegated_challenge;
mod a_wordpress_gets_by_without_help;
mod an_administrator_signs_in;
mod an_apex_is_proven_by_txt;
mod an_app_is_added_while_everything_runs;
mod an_operator_stops_resizes_deletes;
mod bad_wishes_are_explained;
mod no_node_has_room;
mod nobody_takes_an_address;
mod somebody_is_invited_by_mail;
mod the_walk_of_adding_an_app_is_followed;
mod two_organizations_cannot_reach_each_other;
mod what_rarely_happens;
mod wordpress_signs_people_in;
