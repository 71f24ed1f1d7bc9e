"""Asking a real auth service over TLS: what is right comes through, whatever is wrong is refused and cut."""

import pytest
import pytest_twisted
from twisted.internet import reactor

from chatd.auth.outbound import AuthServiceFailed, Outbound, root_of_trust, verifying_agent
from tests.kit.auth_service import CLIENT, FAULTS, ProductAuth

SECONDS = 1.0


@pytest.fixture
def auth(tmp_path):
    with ProductAuth(tmp_path) as auth:
        yield auth


@pytest.fixture
def outbound(auth):
    agent, hang_up = verifying_agent(reactor, root_of_trust(auth.ca_file.read_bytes()), timeout=SECONDS)
    yield Outbound(reactor, agent)
    pytest_twisted.blockon(hang_up())


async def failure(outbound, url, timeout=5.0):
    with pytest.raises(AuthServiceFailed) as caught:
        await outbound.get(url, timeout=timeout)
    return str(caught.value)


@pytest_twisted.ensureDeferred
async def test_what_is_published_is_read(auth, outbound):
    answer = await outbound.get(auth.issuer + "/jwks.json", timeout=5.0)
    assert answer.body.startswith(b'{"keys": [')
    assert answer.cache_control == "max-age=3600"


@pytest_twisted.ensureDeferred
async def test_a_question_is_asked_with_the_clients_name_and_password(auth, outbound):
    token = auth.opaque("alice")
    for _ in range(2):
        answer = await outbound.post(
            auth.issuer + "/introspect", {"token": token}, user=CLIENT[0], password=CLIENT[1], timeout=5.0
        )
        assert b'"active": true' in answer.body
    assert auth.credentials == [CLIENT] * 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("hang", "no whole answer within 1 s"),
        ("trickle", "no whole answer within 1 s"),
        ("huge", "more than 262144 bytes"),
        ("bomb", "the answer is encoded"),
        ("redirect", "status 302"),
        ("error", "status 500"),
        ("cut", "ResponseNeverReceived (Conn"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_answer_is_refused(fault, reason, auth, outbound):
    auth.fault = fault
    assert (await failure(outbound, auth.issuer + "/jwks.json", SECONDS)).startswith(reason)
    assert auth.asked == ["/jwks.json"]
    auth.fault = ""
    assert (await outbound.get(auth.issuer + "/jwks.json", timeout=5.0)).body


def test_all_faults_are_tried():
    """Those left over come through as answers, which their readers refuse."""
    tried = {"hang", "trickle", "huge", "bomb", "redirect", "error", "cut"}
    assert set(FAULTS) - tried == {"garbage", "html", "empty"}


@pytest_twisted.ensureDeferred
async def test_nobody_there(auth, outbound):
    auth.stop()
    assert await failure(outbound, auth.issuer) == "ConnectionRefusedError"


@pytest_twisted.ensureDeferred
async def test_a_certificate_of_nobody_is_not_trusted(auth):
    agent, hang_up = verifying_agent(reactor, None, timeout=SECONDS)
    assert "certificate verify failed" in await failure(Outbound(reactor, agent), auth.issuer)
    await hang_up()
    assert auth.asked == []


@pytest_twisted.ensureDeferred
async def test_a_certificate_for_another_name_is_not_trusted(tmp_path):
    with ProductAuth(tmp_path, names=("elsewhere.example",)) as auth:
        agent, hang_up = verifying_agent(reactor, root_of_trust(auth.ca_file.read_bytes()), timeout=SECONDS)
        assert "VerificationError" in await failure(Outbound(reactor, agent), auth.issuer)
        await hang_up()
        assert auth.asked == []


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_a_text_without_certificates_is_no_root_of_trust(text):
    with pytest.raises(ValueError, match="certificate"):
        root_of_trust(text.encode())
