//! Says in words that a call is not there. The generated code answers UNIMPLEMENTED without a text.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tonic::service::Routes;

/// The routes, with a text for calls that none of them has.
#[derive(Clone, Debug)]
pub(super) struct Explained {
    routes: Routes,
}

impl Explained {
    pub(super) fn new(routes: Routes) -> Self {
        Self {
            routes: routes.prepare(),
        }
    }
}

impl Service<Request<Body>> for Explained {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, context)
            .map_err(|error| match error {})
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let answer = self.routes.call(request);
        Box::pin(async move { answer.await.map(|response| explain(response, &path)) })
    }
}

fn explain(response: Response<Body>, path: &str) -> Response<Body> {
    let headers = response.headers();
    let unimplemented = headers.get("grpc-status") == Some(&HeaderValue::from_static("12"));
    if !unimplemented || headers.contains_key("grpc-message") {
        return response;
    }
    Status::unimplemented(format!(
        "{path} is not implemented by this embedded etcd; use a real etcd for it"
    ))
    .into_http()
}
