//! Every address that is answered, in one list, with who may ask. Strangers are refused here, before the
//! handler; what somebody who is signed in may do, each handler decides.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::Method,
    middleware,
    routing::{MethodRouter, get, post},
};

use crate::{
    account,
    app::Shared,
    audit, bootstrap, door, home, invitations, keys, oidc, organizations, second_factor, sessions,
    sign_in, teams,
    web::{answer, form, style},
};

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Public,
    SignedIn,
    /// Programs that prove in the request who they are; no cookie counts. The handler refuses strangers.
    Program,
}

/// One address and method.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    handler: MethodRouter<Shared>,
}

/// The list.
#[must_use]
pub fn all() -> Vec<Route> {
    use Access::{Program, Public, SignedIn};
    let list: Vec<(Method, &'static str, Access, MethodRouter<Shared>)> = vec![
        (Method::GET, "/", SignedIn, get(home::http::show)),
        (Method::GET, "/style.css", Public, get(style::sheet)),
        (Method::GET, "/logo", Public, get(style::logo)),
        (Method::GET, keys::http::PATH, Public, get(keys::http::show)),
        (
            Method::GET,
            oidc::discovery::PATH,
            Public,
            get(oidc::discovery::show),
        ),
        // Until it is sure where an application may be led back to, strangers see what is wrong there.
        (
            Method::GET,
            oidc::AUTHORIZE,
            Public,
            get(oidc::authorize::show),
        ),
        (
            Method::POST,
            oidc::TOKEN,
            Program,
            post(oidc::token::submit),
        ),
        (
            Method::GET,
            oidc::USERINFO,
            Program,
            get(oidc::about::userinfo),
        ),
        (
            Method::POST,
            oidc::USERINFO,
            Program,
            post(oidc::about::userinfo),
        ),
        (
            Method::POST,
            oidc::INTROSPECT,
            Program,
            post(oidc::about::introspect),
        ),
        (
            Method::POST,
            oidc::REVOKE,
            Program,
            post(oidc::about::revoke),
        ),
        (Method::GET, oidc::LOGOUT, Public, get(oidc::logout::show)),
        (Method::GET, "/door", SignedIn, get(door::http::show)),
        (
            Method::GET,
            "/v1/bootstrap",
            Public,
            get(bootstrap::http::ask),
        ),
        (
            Method::GET,
            "/bootstrap",
            Public,
            get(bootstrap::http::show),
        ),
        (
            Method::POST,
            "/bootstrap",
            Public,
            post(bootstrap::http::submit_code),
        ),
        (
            Method::GET,
            "/bootstrap/person",
            Public,
            get(bootstrap::http::show_person),
        ),
        (
            Method::POST,
            "/bootstrap/person",
            Public,
            post(bootstrap::http::submit_person),
        ),
        (Method::GET, "/sign-in", Public, get(sign_in::http::show)),
        (
            Method::POST,
            "/sign-in",
            Public,
            post(sign_in::http::submit),
        ),
        (
            Method::GET,
            "/sign-in/second-step",
            Public,
            get(sign_in::http::show_second_step),
        ),
        (
            Method::POST,
            "/sign-in/second-step",
            Public,
            post(sign_in::http::submit_second_step),
        ),
        (
            Method::POST,
            "/sign-out",
            SignedIn,
            post(sessions::http::sign_out),
        ),
        (Method::GET, "/account", SignedIn, get(account::http::show)),
        (
            Method::POST,
            "/account/name",
            SignedIn,
            post(account::http::set_name),
        ),
        (
            Method::POST,
            "/account/password",
            SignedIn,
            post(account::http::set_password),
        ),
        (
            Method::POST,
            "/account/totp",
            SignedIn,
            post(second_factor::http::begin),
        ),
        (
            Method::GET,
            "/account/totp",
            SignedIn,
            get(second_factor::http::show),
        ),
        (
            Method::POST,
            "/account/totp/confirm",
            SignedIn,
            post(second_factor::http::confirm),
        ),
        (
            Method::POST,
            "/account/totp/remove",
            SignedIn,
            post(second_factor::http::remove),
        ),
        (
            Method::POST,
            "/account/recovery-codes",
            SignedIn,
            post(second_factor::http::renew_codes),
        ),
        (
            Method::POST,
            "/account/sessions/end-others",
            SignedIn,
            post(sessions::http::end_others),
        ),
        (
            Method::POST,
            "/account/sessions/{uid}/end",
            SignedIn,
            post(sessions::http::end),
        ),
        (
            Method::GET,
            "/organizations",
            SignedIn,
            get(organizations::http::list),
        ),
        (
            Method::POST,
            "/organizations",
            SignedIn,
            post(organizations::http::make),
        ),
        (
            Method::GET,
            "/organizations/{name}/people",
            SignedIn,
            get(organizations::http::people),
        ),
        (
            Method::POST,
            "/organizations/{name}/people/{uid}/role",
            SignedIn,
            post(organizations::http::set_role),
        ),
        (
            Method::POST,
            "/organizations/{name}/people/{uid}/remove",
            SignedIn,
            post(organizations::http::remove),
        ),
        (
            Method::POST,
            "/organizations/{name}/leave",
            SignedIn,
            post(organizations::http::leave),
        ),
        (
            Method::POST,
            "/organizations/{name}/invitations",
            SignedIn,
            post(invitations::http::invite),
        ),
        (
            Method::POST,
            "/organizations/{name}/invitations/{uid}/revoke",
            SignedIn,
            post(invitations::http::revoke),
        ),
        (
            Method::GET,
            "/organizations/{name}/teams",
            SignedIn,
            get(teams::http::list),
        ),
        (
            Method::POST,
            "/organizations/{name}/teams",
            SignedIn,
            post(teams::http::make),
        ),
        (
            Method::GET,
            "/organizations/{name}/teams/{uid}",
            SignedIn,
            get(teams::http::show),
        ),
        (
            Method::POST,
            "/organizations/{name}/teams/{uid}/rename",
            SignedIn,
            post(teams::http::rename),
        ),
        (
            Method::POST,
            "/organizations/{name}/teams/{uid}/delete",
            SignedIn,
            post(teams::http::delete),
        ),
        (
            Method::POST,
            "/organizations/{name}/teams/{uid}/members",
            SignedIn,
            post(teams::http::put_in),
        ),
        (
            Method::POST,
            "/organizations/{name}/teams/{uid}/members/{person}/remove",
            SignedIn,
            post(teams::http::take_out),
        ),
        (
            Method::POST,
            "/organizations/{name}/teams/{uid}/instances",
            SignedIn,
            post(teams::http::give),
        ),
        (
            Method::POST,
            "/organizations/{name}/teams/{uid}/instances/{instance}/take",
            SignedIn,
            post(teams::http::take),
        ),
        (
            Method::GET,
            "/organizations/{name}/audit",
            SignedIn,
            get(audit::http::of_organization),
        ),
        (Method::GET, "/audit", SignedIn, get(audit::http::all)),
        // Whoever has the link may see what it is.
        (
            Method::GET,
            "/invitations/{token}",
            Public,
            get(invitations::http::show),
        ),
        (
            Method::POST,
            "/invitations/{token}",
            SignedIn,
            post(invitations::http::join),
        ),
        (
            Method::POST,
            "/invitations/{token}/person",
            Public,
            post(invitations::http::register),
        ),
    ];
    list.into_iter()
        .map(|(method, path, access, handler)| Route {
            method,
            path,
            access,
            handler,
        })
        .collect()
}

/// What servers of applications are answered inside of the cluster: no page is among it, and nothing that a browser
/// needs.
pub fn for_applications(app: Shared) -> Router {
    let discovery = get(oidc::discovery::show_inside);
    let mut router = Router::new().route(oidc::discovery::PATH, discovery);
    let is_theirs =
        |route: &Route| route.access == Access::Program || route.path == keys::http::PATH;
    for route in all().into_iter().filter(is_theirs) {
        router = router.route(route.path, route.handler);
    }
    finish(router, app).layer(middleware::from_fn(answer::of_programs_alone))
}

/// The list as a service.
pub fn router(app: Shared) -> Router {
    let mut router = Router::new();
    for route in all() {
        let handler = match route.access {
            Access::Public | Access::Program => route.handler,
            Access::SignedIn => route
                .handler
                .layer(middleware::from_fn(answer::signed_in_only)),
        };
        router = router.route(route.path, handler);
    }
    finish(router, app)
}

fn finish(router: Router<Shared>, app: Shared) -> Router {
    router
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .layer(DefaultBodyLimit::max(form::LARGEST))
        .layer(middleware::from_fn_with_state(app.clone(), answer::carry))
        .with_state(app)
}
