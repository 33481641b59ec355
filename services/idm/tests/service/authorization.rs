//! The authorisation API as services ask it: a real API server says whose a token is.

use std::{net::SocketAddr, sync::Arc};

use idm::{
    authorization::{
        callers::{AUDIENCE, Callers},
        http::{Port, router},
    },
    organizations::{self, Organization, Role},
};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use lab::control_plane::ControlPlane;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::OnceCell};

use crate::support::Stage;

const SERVICE: &str = "default:asking-service";

/// A token of a ServiceAccount of the namespace `default`.
async fn token(name: &str, audience: &str) -> String {
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.client().await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name },
    });
    let params = PatchParams::apply("tests");
    accounts
        .patch(name, &params, &Patch::Apply(account))
        .await
        .unwrap();
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let made = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .unwrap();
    made.status.unwrap().token
}

pub async fn service_token() -> &'static str {
    static TOKEN: OnceCell<String> = OnceCell::const_new();
    TOKEN
        .get_or_init(|| token("asking-service", AUDIENCE))
        .await
}

/// A replica's port for services.
pub async fn serve(stage: &Stage) -> SocketAddr {
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.client().await.unwrap();
    let port = Port {
        app: Arc::clone(&stage.app),
        callers: Arc::new(Callers::new(client, &[SERVICE.to_owned()])),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router(port)).await });
    address
}

pub async fn post(at: SocketAddr, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.post(format!("http://{at}{path}")).json(body);
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

pub async fn ask(at: SocketAddr, path: &str, body: Value) -> Value {
    let (status, answer) = post(at, path, service_token().await, &body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn open(person: &str, organization: &str) -> Value {
    json!({
        "actor": { "person": person },
        "action": "instance.open",
        "resource": { "kind": "instance", "organization": organization, "name": "blog" },
    })
}

/// An organization whose Super Admin is Ann, and Ben, who is a Power User there.
async fn acme(stage: &Stage) -> (Organization, String) {
    let acme = stage.organization("acme").await;
    let (ann, ben) = (
        stage.person("ann@acme.test").await,
        stage.person("ben@acme.test").await,
    );
    stage.join(&acme, &ann, Role::SuperAdmin).await;
    stage.join(&acme, &ben, Role::PowerUser).await;
    (acme, ben)
}

async fn set_role(stage: &Stage, acme: &Organization, person: &str, role: Role) {
    let mut connection = stage.pool.acquire().await.unwrap();
    organizations::store::set_role(&mut connection, &acme.uid, person, role)
        .await
        .unwrap();
}

#[tokio::test]
async fn nobody_is_answered_but_services_that_may_ask() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    let (other, elsewhere) = (
        token("somebody-else", AUDIENCE).await,
        token("asking-service", "https://kubernetes.default.svc").await,
    );
    let forged = format!("{}x", service_token().await);
    for path in [
        "/v1/may",
        "/v1/may/batch",
        "/v1/apps",
        "/v1/changes",
        "/v1/door/redeem",
        "/v1/door/enter",
        "/v1/other",
    ] {
        for (token, expected) in [
            ("", (401, "NoToken")),
            ("guess", (401, "BadToken")),
            (forged.as_str(), (401, "BadToken")),
            (elsewhere.as_str(), (401, "BadToken")),
            (other.as_str(), (403, "NotAService")),
        ] {
            let (status, answer) = post(at, path, token, &json!({})).await;
            let reason = answer["reason"].as_str().unwrap();
            assert_eq!((status, reason), expected, "{path} {answer}");
        }
    }
    // Nor on the port that the gateway leads to.
    let browser = stage.browser();
    for path in ["/v1/may", "/v1/changes", "/v1/door/redeem"] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_question_is_answered_by_the_model_and_says_whom_to_ask() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    let (acme, ben) = acme(&stage).await;
    // By name and by uid.
    for organization in ["acme", acme.uid.as_str()] {
        let answer = ask(at, "/v1/may", open(&ben, organization)).await;
        assert_eq!(answer["decision"], "allow", "{answer}");
    }
    let billing = json!({
        "actor": { "person": ben },
        "action": "billing.update",
        "resource": { "kind": "billing", "organization": "acme" },
    });
    let answer = ask(at, "/v1/may", billing).await;
    assert_eq!(answer["code"], "RoleTooLow");
    let words = "Power Users cannot change billing; ask ann@acme.test, who is a Super Admin";
    assert_eq!(answer["words"], words);

    // Whom nobody knows, and what nobody has.
    let nobody = "usr-00000000000000000000000000";
    let answer = ask(at, "/v1/may", open(nobody, "acme")).await;
    assert_eq!(answer["code"], "PersonSuspended");
    let answer = ask(at, "/v1/may", open(&ben, "elsewhere")).await;
    assert_eq!(answer["code"], "NoMember");
}

#[tokio::test]
async fn after_a_revocation_no_replica_allows_any_more_and_the_version_tells() {
    let stage = Stage::start().await;
    let replicas = [serve(&stage).await, serve(&stage).await];
    let (acme, ben) = acme(&stage).await;
    let mut version = 0;
    for round in 0..20 {
        let is_member = round % 2 == 1;
        let role = if is_member {
            Role::Member
        } else {
            Role::PowerUser
        };
        set_role(&stage, &acme, &ben, role).await;
        for at in replicas {
            let answer = ask(at, "/v1/may", open(&ben, "acme")).await;
            let expected = if is_member { "refuse" } else { "allow" };
            assert_eq!(answer["decision"], expected, "round {round}: {answer}");
            let read_with = answer["version"].as_i64().unwrap();
            assert!(read_with > version || at == replicas[1], "{answer}");
            version = read_with;
        }
    }
}

#[tokio::test]
async fn a_session_is_asked_about_by_its_token_until_it_ends() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    stage.staff("root@example.com").await;
    let acme = stage.organization("acme").await;
    let (ann, browser) = stage.signed_in("ann@acme.test").await;
    stage.join(&acme, &ann, Role::Admin).await;
    let token = browser.cookie("__Host-tutti").unwrap();
    let mut question = open(&ann, "acme");
    question["actor"] = json!({ "session": token });
    let answer = ask(at, "/v1/may", question.clone()).await;
    assert_eq!(answer["decision"], "allow", "{answer}");
    browser.get("/").await;
    browser.post("/sign-out", &[]).await;
    let answer = ask(at, "/v1/may", question.clone()).await;
    assert_eq!(answer["code"], "SessionEnded", "{answer}");
    question["actor"] = json!({ "session": "no token at all" });
    let answer = ask(at, "/v1/may", question).await;
    assert_eq!(answer["code"], "SessionEnded", "{answer}");
}

#[tokio::test]
async fn a_batch_is_of_one_moment_and_apps_are_those_that_one_may_open() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    let (acme, other) = (
        stage.organization("acme").await,
        stage.organization("other").await,
    );
    let ann = stage.person("ann@acme.test").await;
    stage.join(&acme, &ann, Role::PowerUser).await;
    stage.join(&other, &ann, Role::Member).await;
    for organization in ["acme", "other"] {
        stage.instance(organization, "blog").await;
    }
    let questions = json!({ "questions": [open(&ann, "acme"), open(&ann, "other")] });
    let answer = ask(at, "/v1/may/batch", questions).await;
    let decisions: Vec<_> = answer["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["decision"])
        .collect();
    assert_eq!(decisions, ["allow", "refuse"]);
    let apps = ask(at, "/v1/apps", json!({ "actor": { "person": ann } })).await;
    let expected = json!([{
        "organization": "acme", "name": "blog", "title": "The blog",
        "url": "https://blog.acme.example",
    }]);
    assert_eq!(
        apps["apps"], expected,
        "a Member opens what a team was given"
    );
}

#[tokio::test]
async fn a_bad_question_is_told_which_field_is_wrong() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    let mut misspelt = open("usr-1", "acme");
    misspelt["action"] = json!("instance.opne");
    let too_many = json!({ "questions": vec![open("usr-1", "acme"); 101] });
    for (path, body, words) in [
        ("/v1/may", misspelt, "instance.opne"),
        ("/v1/may", json!({}), "actor"),
        ("/v1/may/batch", json!({ "questions": [] }), "questions: 0"),
        ("/v1/may/batch", too_many, "questions: 101"),
    ] {
        let (status, answer) = post(at, path, service_token().await, &body).await;
        assert_eq!(
            (status, &answer["reason"]),
            (400, &json!("BadQuestion")),
            "{answer}"
        );
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{detail}");
    }
}
