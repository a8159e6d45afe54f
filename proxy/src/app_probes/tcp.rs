//! `tcpSocket`: the application takes a connection.

use http::StatusCode;

use super::Failure;
use super::dial::Application;

pub(super) async fn ask(application: Application, port: u16) -> Result<StatusCode, Failure> {
    application.connect(port).await.map(|_| StatusCode::OK)
}
