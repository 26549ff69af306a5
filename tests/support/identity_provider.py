"""Starts Canaille, an identity provider, on loopback, for a test: PORT CALLBACK SECRET.

It has two people and one client, in memory. The client is trusted, so nobody is asked for consent. Prints "ready" once it
listens, and ends when its standard input does.
"""

import os
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey


class Silent(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


def main():
    port, callback, secret = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    app = create_app(
        config={
            "SECRET_KEY": "a key for a test",
            "SERVER_NAME": f"127.0.0.1:{port}",
            "PREFERRED_URL_SCHEME": "http",
            "SESSION_COOKIE_SECURE": False,
            "CANAILLE": {"DATABASE": "memory", "CAPTCHA_ENABLED": False},
            "CANAILLE_OIDC": {"ACTIVE_JWKS": [RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)]},
        }
    )
    # the provider knows this claim, and has no setting for it
    mapping = app.config["CANAILLE_OIDC"]["USERINFO_MAPPING"]
    mapping["EMAIL_VERIFIED"] = "{% if user.user_name != 'bob' %}true{% else %}false{% endif %}"
    with app.app_context():
        backend = Backend.instance
        for name in ("ann", "bob"):
            person = models.User(
                user_name=name,
                family_name=name,
                formatted_name=name,
                emails=[f"{name}@example.org"],
                password=f"the password of {name}",
            )
            backend.save(person)
        client = models.Client(
            client_id="pybots",
            client_secret=secret,
            client_name="Pybots",
            client_uri=callback.rsplit("/login", 1)[0],
            redirect_uris=[callback],
            grant_types=["authorization_code"],
            response_types=["code"],
            scope=["openid", "email", "profile"],
            token_endpoint_auth_method="client_secret_basic",
        )
        backend.save(client)
        client.audience = [client]
        backend.save(client)
    server = make_server("127.0.0.1", port, app, handler_class=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)


main()
