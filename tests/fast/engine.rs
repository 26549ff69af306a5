//! Engines that can't be used say what to do about it.

use pybots::runtime::RuntimeError;
use pybots::runtime::docker::DockerRuntime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// Connects to something that answers every question with this.
async fn connect(answer: &'static str) -> RuntimeError {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = [0; 4096];
            let _ = stream.read(&mut question).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            let _ = stream.write_all((head + answer).as_bytes()).await;
        }
    });
    match DockerRuntime::connect(&socket).await {
        Ok(_) => panic!("{answer:?} was taken for an engine"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn an_old_engine_is_told_so() {
    let error = connect(r#"{"Version": "17.05", "ApiVersion": "1.29", "MinAPIVersion": "1.12"}"#).await;
    assert!(
        matches!(&error, RuntimeError::TooOld { found, .. } if found == "1.29"),
        "{error}"
    );
    assert!(error.to_string().contains("install Docker 20.10 or newer"), "{error}");
}

#[tokio::test]
async fn what_is_no_engine_is_told_so() {
    let error = connect("I am a teapot").await;
    assert!(matches!(error, RuntimeError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn no_engine_is_told_with_its_socket() {
    let error = match DockerRuntime::connect(std::path::Path::new("/no/such.sock")).await {
        Ok(_) => panic!("there is no such socket"),
        Err(error) => error,
    };
    assert!(error.to_string().contains("/no/such.sock; "), "{error}");
    assert!(error.to_string().contains("set `engine.socket`"), "{error}");
}
