//! The API's description, OpenAPI 3.1, served at `/openapi.json`. The functions here only carry the description.
#![expect(dead_code, reason = "what stands here describes; the handlers are elsewhere")]

use axum::Json;
use axum::response::IntoResponse;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

/// A request for one call or several.
#[derive(ToSchema)]
struct OrderRequest {
    /// `+15551234567`, `tel:…`, `sip:…`; or an array of these, or of objects with `to` and a recipient's own fields.
    #[schema(value_type = Value)]
    to: Value,
    /// `https:` address of a VoiceXML document, or `app:` and a registered name.
    application: String,
    /// `emergency`, `transactional`, `telemarketing`, `debt`, `political` or `survey`.
    purpose: String,
    /// Your name for it; the `Idempotency-Key` if it is left out.
    request_id: Option<String>,
    /// RFC 3339, `+90m`, `local 09:00`; now if left out.
    at: Option<String>,
    /// Never dialled after this; one day after the start if left out.
    expires: Option<String>,
    /// A stored policy; may only tighten.
    policy: Option<String>,
    /// 0 (lowest) to 9.
    #[schema(minimum = 0, maximum = 9)]
    priority: Option<u8>,
    /// A number of yours.
    caller_id: Option<String>,
    /// What must be there before anyone is called.
    #[schema(value_type = Option<Vec<Value>>)]
    resources: Option<Vec<Value>>,
    /// `mailto:` and `https:` addresses for the results.
    #[schema(value_type = Option<Value>)]
    result_to: Option<Value>,
    /// Session variables.
    #[schema(value_type = Option<Object>)]
    params: Option<Value>,
    /// Text to be spoken.
    message: Option<String>,
    /// IANA zone of the callee.
    zone: Option<String>,
    /// Language of the callee.
    lang: Option<String>,
    /// For limits on the same subject.
    subject: Option<String>,
    /// Your key of the customer.
    customer: Option<String>,
    /// After a crash: `at_most_once`, `at_least_once`, `ask`.
    doubt: Option<String>,
    /// Forgive slips in VoiceXML.
    lenient: Option<bool>,
    /// Again and again: a rule of RFC 5545 such as `FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;COUNT=10`, on the callee's clock.
    repeat: Option<String>,
}

/// RFC 9457.
#[derive(ToSchema)]
struct ProblemDetails {
    /// `urn:carillon:problem:…`
    r#type: String,
    title: String,
    status: u16,
    /// Field, reason and fix of each fault.
    #[schema(value_type = Option<Vec<Object>>)]
    errors: Option<Vec<Value>>,
    /// The judgement, where policy refuses.
    #[schema(value_type = Option<Object>)]
    decision: Option<Value>,
    /// When it might be allowed.
    next_allowed_at: Option<String>,
}

macro_rules! describe {
    ($name:ident, $method:ident, $path:literal, $summary:literal, $($rest:tt)*) => {
        #[utoipa::path($method, path = $path, summary = $summary, $($rest)*)]
        fn $name() {}
    };
}

describe!(
    create,
    post,
    "/v1/calls",
    "Order calls; 202 after the durable commit",
    params(("Idempotency-Key" = String, Header, description = "Same key and body: same order. Kept 7 days.")),
    request_body = OrderRequest,
    responses(
        (status = 202, description = "Accepted", body = Value),
        (
            status = 400,
            description = "A field is wrong",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 401,
            description = "No known key",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 403,
            description = "Policy refuses",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (status = 413, description = "The body is too large"),
        (
            status = 415,
            description = "Not JSON, YAML or XML",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 422,
            description = "The key was used with another body",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 429,
            description = "Too fast",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 503,
            description = "Not now",
            body = ProblemDetails,
            content_type = "application/problem+json"
        )
    )
);
describe!(list, get, "/v1/calls", "Calls, newest first",
    params(("cursor" = Option<String>, Query), ("status" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, description = "A page", body = Value),
        (status = 400, description = "A parameter is wrong", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No known key", body = ProblemDetails, content_type = "application/problem+json")));
describe!(
    dry_run,
    post,
    "/v1/calls:dryrun",
    "Judge, and call nobody",
    request_body = OrderRequest,
    responses(
        (status = 200, description = "Decisions", body = Value),
        (
            status = 400,
            description = "A field is wrong",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 401,
            description = "No known key",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 403,
            description = "Not a tenant's key",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 415,
            description = "Not JSON, YAML or XML",
            body = ProblemDetails,
            content_type = "application/problem+json"
        )
    )
);

macro_rules! describe_one {
    ($name:ident, $method:ident, $path:literal, $summary:literal, $id:literal, $($ok:tt)*) => {
        #[utoipa::path($method, path = $path, summary = $summary, params(($id = String, Path)),
            responses($($ok)*,
                (status = 400, description = "Wrong", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 401, description = "No known key", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 403, description = "Not a tenant's key", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 404, description = "No such thing", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 409, description = "Not in this state", body = ProblemDetails, content_type = "application/problem+json")))]
        fn $name() {}
    };
}

macro_rules! describe_two {
    ($name:ident, $method:ident, $path:literal, $summary:literal, $one:literal, $two:literal, $($ok:tt)*) => {
        #[utoipa::path($method, path = $path, summary = $summary, params(($one = String, Path), ($two = String, Path)),
            responses($($ok)*,
                (status = 400, description = "Wrong", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 401, description = "No known key", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 403, description = "Not allowed to this key", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 404, description = "No such thing", body = ProblemDetails, content_type = "application/problem+json"),
                (status = 409, description = "Not in this state", body = ProblemDetails, content_type = "application/problem+json")))]
        fn $name() {}
    };
}

describe_one!(
    read,
    get,
    "/v1/calls/{id}",
    "One call",
    "id",
    (status = 200, description = "Its status", body = Value)
);
describe_one!(
    cancel,
    delete,
    "/v1/calls/{id}",
    "Take an order back",
    "id",
    (status = 200, description = "Cancelled", body = Value),
    (status = 202, description = "Being cancelled", body = Value)
);
describe_one!(
    redial,
    post,
    "/v1/calls/{id}/redial",
    "Dial an order anew that is in doubt after a crash and was ordered to ask",
    "id",
    (status = 202, description = "It will be dialled", body = Value)
);
describe_one!(
    events,
    get,
    "/v1/calls/{id}/events",
    "Changes of a call: SSE, or long poll with `after`",
    "id",
    (status = 200, description = "Changes", body = Value)
);
describe_one!(
    decision,
    get,
    "/v1/decisions/{id}",
    "Why a call was blocked or put off",
    "id",
    (status = 200, description = "The last judgement", body = Value)
);
describe_one!(
    suppression,
    get,
    "/v1/suppressions/{number}",
    "Whether a number may be called, and the link and mail address by which its owner opts out",
    "number",
    (status = 200, description = "Entries against it, and the way out", body = Value)
);
describe_one!(
    suppress,
    put,
    "/v1/suppressions/{number}",
    "Never call this number",
    "number",
    (status = 200, description = "It binds", body = Value)
);
describe_one!(
    release,
    delete,
    "/v1/suppressions/{number}",
    "Take a number off the list",
    "number",
    (status = 204, description = "Done")
);
describe_one!(
    campaign,
    get,
    "/v1/campaigns/{id}",
    "One campaign",
    "id",
    (status = 200, description = "Its state", body = Value)
);
describe_one!(
    act,
    post,
    "/v1/campaigns/{id}",
    "`{id}:start`, `:pause`, `:resume`, `:abort`, and `:forecast` (how long, how many blocked and why, peak channels)",
    "id",
    (status = 200, description = "Its state", body = Value)
);
describe_one!(
    upload,
    put,
    "/v1/campaigns/{id}/contacts",
    "Stream contacts (text/csv, application/jsonl); goes on at Upload-Offset",
    "id",
    (status = 200, description = "Its state", body = Value),
    (status = 415, description = "Not CSV or JSON lines")
);
describe_one!(
    campaign_errors,
    get,
    "/v1/campaigns/{id}/errors",
    "Refused rows as CSV",
    "id",
    (status = 200, description = "Rows", content_type = "text/csv", body = String)
);
describe!(suppressions, get, "/v1/suppressions", "The own list",
    params(("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, description = "A page", body = Value),
        (status = 400, description = "Wrong", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No known key", body = ProblemDetails, content_type = "application/problem+json")));
describe!(records, get, "/v1/records", "Call records as JSON, JSON lines or CSV",
    params(("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000),
        ("format" = Option<String>, Query), ("call" = Option<String>, Query)),
    responses((status = 200, description = "Records", body = Value),
        (status = 400, description = "Wrong", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No known key", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "No such call", body = ProblemDetails, content_type = "application/problem+json")));
describe_one!(
    replay,
    post,
    "/v1/calls/{id}",
    "`{id}:replay`: tell the webhooks again how the call stands",
    "id",
    (status = 202, description = "Queued", body = Value)
);
describe_two!(
    recording,
    get,
    "/v1/calls/{id}/recordings/{name}",
    "A recording of the call's session",
    "id",
    "name",
    (status = 200, description = "WAV", content_type = "audio/x-wav", body = String)
);
describe!(customers, get, "/v1/customers", "The own customers",
    params(("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, description = "A page", body = Value),
        (status = 400, description = "Wrong", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No known key", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "Not a tenant's key", body = ProblemDetails, content_type = "application/problem+json")));
describe!(
    upload_customers,
    put,
    "/v1/customers",
    "Many customers at once: text/csv with a header row, application/jsonl, or a JSON array",
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, description = "How many were entered, and which rows were refused", body = Value),
        (
            status = 400,
            description = "Wrong",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 401,
            description = "No known key",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 403,
            description = "Not a tenant's key",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 413,
            description = "Too large",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 415,
            description = "Not a list",
            body = ProblemDetails,
            content_type = "application/problem+json"
        )
    )
);
describe_one!(
    customer,
    get,
    "/v1/customers/{number}",
    "One customer",
    "number",
    (status = 200, description = "What is known", body = Value)
);
describe_one!(
    put_customer,
    put,
    "/v1/customers/{number}",
    "Zone, language, hours, consents, opt_out of a customer",
    "number",
    (status = 200, description = "It holds", body = Value)
);
describe_one!(
    forget_customer,
    delete,
    "/v1/customers/{number}",
    "Forget a customer; suppressions stay",
    "number",
    (status = 204, description = "Forgotten")
);
describe!(
    policies,
    get,
    "/v1/policies",
    "The own stored rule sets",
    responses(
        (status = 200, description = "Their names", body = Value),
        (
            status = 401,
            description = "No known key",
            body = ProblemDetails,
            content_type = "application/problem+json"
        )
    )
);
describe_one!(
    policy,
    get,
    "/v1/policies/{name}",
    "One rule set",
    "name",
    (status = 200, description = "The set", body = Value)
);
describe_one!(
    put_policy,
    put,
    "/v1/policies/{name}",
    "Store a rule set: `default` holds for all own orders, others for those that name them",
    "name",
    (status = 200, description = "It holds", body = Value)
);
describe_one!(
    drop_policy,
    delete,
    "/v1/policies/{name}",
    "Take a rule set away",
    "name",
    (status = 204, description = "Done")
);
describe!(
    tenants,
    get,
    "/v1/tenants",
    "Who may order; a tenant sees itself",
    responses(
        (status = 200, description = "Tenants without their secrets", body = Value),
        (
            status = 401,
            description = "No known key",
            body = ProblemDetails,
            content_type = "application/problem+json"
        )
    )
);
describe_one!(
    tenant,
    get,
    "/v1/tenants/{name}",
    "One tenant",
    "name",
    (status = 200, description = "What holds for it", body = Value)
);
describe_one!(
    put_tenant,
    put,
    "/v1/tenants/{name}",
    "Make a tenant, or change its limits (operator)",
    "name",
    (status = 200, description = "What holds for it", body = Value)
);
describe_one!(
    drop_tenant,
    delete,
    "/v1/tenants/{name}",
    "Take a tenant away (operator)",
    "name",
    (status = 204, description = "Done")
);
describe_two!(
    add_key,
    put,
    "/v1/tenants/{name}/keys/{key}",
    "Make a key; the answer holds it, once (operator)",
    "name",
    "key",
    (status = 201, description = "The key", body = Value)
);
describe_two!(
    drop_key,
    delete,
    "/v1/tenants/{name}/keys/{key}",
    "Take a key away (operator)",
    "name",
    "key",
    (status = 204, description = "Done")
);
describe_two!(
    add_user,
    put,
    "/v1/tenants/{name}/users/{user}",
    "Let a person in to the pages (`role`: view, order); the answer holds a link, once, by which they choose a password (operator)",
    "name",
    "user",
    (status = 201, description = "The link", body = Value)
);
describe_two!(
    drop_user,
    delete,
    "/v1/tenants/{name}/users/{user}",
    "Let a person in no more (operator)",
    "name",
    "user",
    (status = 204, description = "Done")
);
describe!(
    bounces,
    get,
    "/v1/bounces",
    "Addresses whose status mails came back; after three in a row results go there no more",
    responses(
        (status = 200, description = "Addresses", body = Value),
        (
            status = 401,
            description = "No known key",
            body = ProblemDetails,
            content_type = "application/problem+json"
        )
    )
);
describe_one!(
    lift,
    delete,
    "/v1/bounces/{address}",
    "Send results to an address again",
    "address",
    (status = 204, description = "Done")
);
describe!(
    numbers,
    get,
    "/v1/numbers",
    "Which application answers which number; a tenant sees its own",
    responses(
        (status = 200, description = "Routes in the order in which they count", body = Value),
        (
            status = 401,
            description = "No known key",
            body = ProblemDetails,
            content_type = "application/problem+json"
        )
    )
);
describe_one!(
    put_number,
    put,
    "/v1/numbers/{number}",
    "Make a route, or change it; a tenant says `url`, `hours` and `zone` of its own",
    "number",
    (status = 200, description = "The route", body = Value)
);
describe_one!(
    drop_number,
    delete,
    "/v1/numbers/{number}",
    "Take a route away (operator)",
    "number",
    (status = 204, description = "Done")
);
describe!(campaigns, get, "/v1/campaigns", "The own campaigns",
    params(("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, description = "A page", body = Value),
        (status = 400, description = "Wrong", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No known key", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "No such cursor", body = ProblemDetails, content_type = "application/problem+json")));
describe!(
    create_campaign,
    post,
    "/v1/campaigns",
    "Make a campaign: `name`, and what all its orders share",
    params(("Idempotency-Key" = String, Header)),
    request_body = Value,
    responses(
        (status = 201, description = "Made", body = Value),
        (
            status = 400,
            description = "Wrong",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 401,
            description = "No known key",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 403,
            description = "Not a tenant's key",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 415,
            description = "Not JSON, YAML or XML",
            body = ProblemDetails,
            content_type = "application/problem+json"
        ),
        (
            status = 422,
            description = "The key was used with another body",
            body = ProblemDetails,
            content_type = "application/problem+json"
        )
    )
);

struct Key;

impl Modify for Key {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        api.components.get_or_insert_default().add_security_scheme("key", scheme);
    }
}

/// The description.
#[derive(OpenApi)]
#[openapi(
    info(title = "Carillon", description = "Order telephone calls that run VoiceXML applications."),
    paths(create, list, dry_run, read, cancel, redial, events, decision, suppression, suppress, release, suppressions, records,
        create_campaign, campaigns, campaign, act, upload, campaign_errors, replay, recording, customers, upload_customers,
        customer, put_customer, forget_customer, policies, policy, put_policy, drop_policy, tenants, tenant, put_tenant,
        drop_tenant, add_key, drop_key, add_user, drop_user, bounces, lift, numbers, put_number, drop_number),
    components(schemas(OrderRequest, ProblemDetails)),
    security(("key" = [])),
    modifiers(&Key)
)]
struct Description;

/// `GET /openapi.json`.
pub(super) async fn serve() -> impl IntoResponse {
    Json(Description::openapi())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        let json = serde_json::to_value(Description::openapi()).unwrap();
        assert!(json["openapi"].as_str().unwrap().starts_with("3.1"));
        let source = include_str!("mod.rs");
        let routes = source
            .split(".route(\"")
            .skip(1)
            .filter_map(|r| r.split('"').next())
            .filter(|r| r.starts_with("/v1"));
        let missing: Vec<&str> = routes.filter(|r| json["paths"].get(r).is_none()).collect();
        assert_eq!(missing, Vec::<&str>::new());
    }
}
