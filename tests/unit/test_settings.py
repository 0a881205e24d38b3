"""Settings: which source wins, what is masked, and what a mistake is answered with."""

import stat
from pathlib import Path

import pytest

from infra.kept import kept_secret, stream_secret, twilio_token
from infra.settings import Settings, SettingsError, child_environment, described_settings, read_settings

SECRETS = {
    "hearline_api_token": "api-secret",
    "hearline_secret": "stream-secret",
    "twilio_auth_token": "twilio-secret",
    "twilio_api_key_secret": "key-secret",
    "turn_password": "turn-pass",
    "turn_secret": "shared-with-coturn",
    "llm_api_key": "llm-secret",
    "asr_api_key": "asr-secret",
}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and an environment that set nothing."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path


def test_flags_win_over_the_environment_over_the_file_over_the_defaults(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_settings().hearline_port == 8080
    (alone / ".env").write_text("HEARLINE_PORT=1001\nHEARLINE_HOST=from-file\n")
    assert read_settings().hearline_port == 1001
    monkeypatch.setenv("HEARLINE_PORT", "1002")
    assert read_settings().hearline_port == 1002
    assert read_settings(hearline_port=1003).hearline_port == 1003
    assert read_settings(hearline_port=None, hearline_host=None).hearline_port == 1002
    assert read_settings().hearline_host == "from-file"


def test_a_file_may_hold_other_programs_settings(alone: Path) -> None:
    (alone / ".env").write_text("POSTGRES_PASSWORD=x\n# a comment\nexport ASR_LANGUAGE='de'\n")
    assert read_settings().asr_language == "de"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEARLINE_PORT", "70000"),
        ("HEARLINE_PORT", "http"),
        ("HEARLINE_LOG_LEVEL", "loud"),
        ("PUBLIC_BASE_URL", "example.com"),
        ("LLM_BASE_URL", "ftp://example.com"),
        ("ASR_BASE_URL", "example.com/v1"),
        ("ASR_TRACKS", "0"),
        ("RTP_PORTS", "10000"),
        ("SIP_TRUNKS", "10.0.0.0/8, nowhere"),
        ("HEARLINE_RECORDING", "sometimes"),
        ("HEARLINE_RECORDING_FORMAT", "mp3"),
        ("ICE_SERVERS", "stun.example.org:3478"),
        ("ICE_SERVERS", "stun:stun.example.org, https://turn.example.org"),
        ("ICE_SERVERS", "turn:user:pass@turn.example.org"),
        ("ICE_SERVERS", "turn:turn.example.org?transport=sctp"),
        ("ASR_ENGINE", "ears"),
        ("ASR_LANGUAGE", "English"),
        ("LLM_PROVIDER", "oracle"),
        ("LLM_ANALYSIS_INTERVAL", "0"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_variable(
    alone: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    def complaint() -> str:
        with pytest.raises(SettingsError) as refused:
            read_settings()
        return str(refused.value)

    monkeypatch.setenv(name, value)
    told = complaint()
    assert told.startswith(f"{name}: ")
    assert len(told) > len(name) + 5
    assert "\n" not in told
    monkeypatch.delenv(name)
    (alone / ".env").write_text(f"{name}={value}\n")
    assert complaint() == told
    (alone / ".env").unlink()
    with pytest.raises(SettingsError, match=f"^{name}: "):
        read_settings(**{name.lower(): value})


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_is_not_told_by_mistake(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name.upper(), SECRETS[name])
    settings = read_settings()
    assert getattr(settings, name).get_secret_value() == SECRETS[name]
    rows = {variable: shown for variable, shown, _ in described_settings(settings)}
    assert rows[name.upper()] == "********"
    for shown in (repr(settings), str(settings), str(rows), settings.model_dump_json()):
        assert SECRETS[name] not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://hearline:pass@db:5432/calls", "postgresql://hearline:********@db:5432/calls"),
        ("postgresql://hearline:p@ss:w@db/calls", "postgresql://hearline:********@db/calls"),
        ("redis://:pass@cache:6379/0", "redis://:********@cache:6379/0"),
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("postgresql://hearline@/postgres?host=/run/pg", "postgresql://hearline@/postgres?host=/run/pg"),
    ],
)
def test_the_password_in_an_address_is_masked(url: str, shown: str) -> None:
    for name in ("database_url", "redis_url"):
        rows = {variable: value for variable, value, _ in described_settings(read_settings(**{name: url}))}
        assert rows[name.upper()] == shown


def test_settings_are_shown_as_they_are_written() -> None:
    settings = read_settings(sip_trunks="192.0.2.0/24,2001:db8::7", hearline_recording="false")
    rows = {variable: value for variable, value, _ in described_settings(settings)}
    assert rows["SIP_TRUNKS"] == "192.0.2.0/24,2001:db8::7"
    assert rows["HEARLINE_RECORDING"] == "false"
    assert rows["AUDIOSOCKET_TRUNKS"] == "(unset)"


def test_every_setting_is_described() -> None:
    rows = described_settings(read_settings())
    assert [name for name, _, _ in rows] == [name.upper() for name in Settings.model_fields]
    assert all(about for _, _, about in rows)
    assert ("DATABASE_URL", "(unset)", "PostgreSQL (embedded when unset)") in rows


def test_what_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "DATABASE_URL",
        "REDIS_URL",
        "PUBLIC_BASE_URL",
        "TWILIO_AUTH_TOKEN",
        "HEARLINE_API_TOKEN",
        "SIP_TRUNKS",
        "ICE_SERVERS",
        "TURN_SECRET",
    ):
        monkeypatch.setenv(name, "")
    settings = read_settings()
    assert (settings.database_url, settings.redis_url, settings.public_base_url) == (None, None, None)
    assert (settings.twilio_token, settings.hearline_api_token, settings.sip_trunks) == (None, None, ())
    assert (settings.ice_servers, settings.turn_secret) == ((), None)


def test_values_come_in_the_shape_that_the_code_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARLINE_DATA_DIR", "~/calls")
    monkeypatch.setenv("PUBLIC_BASE_URL", "https://calls.example/")
    monkeypatch.setenv("SIP_TRUNKS", " 192.0.2.0/24 ,2001:db8::/32,")
    monkeypatch.setenv("ICE_SERVERS", "stun:stun.example.org, turns:[2001:db8::1]:443?transport=tcp ,")
    monkeypatch.setenv("HEARLINE_RECORDING", "false")
    settings = read_settings()
    assert settings.hearline_data_dir == Path.home() / "calls"
    assert settings.public_base_url == "https://calls.example"
    assert settings.sip_trunks == ("192.0.2.0/24", "2001:db8::/32")
    assert settings.ice_servers == ("stun:stun.example.org", "turns:[2001:db8::1]:443?transport=tcp")
    assert not settings.hearline_recording


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings().hearline_port = 1


def test_a_childs_environment_is_ours_with_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARLINE_HOST", "kept")
    monkeypatch.setenv("REDIS_URL", "redis://taken-out")
    environment = child_environment(redis_url=None, database_url="postgresql://put-in")
    assert environment["HEARLINE_HOST"] == "kept"
    assert environment["DATABASE_URL"] == "postgresql://put-in"
    assert "REDIS_URL" not in environment


def test_a_made_secret_stays_and_is_ours_alone(alone: Path) -> None:
    first = kept_secret(alone / "data", "stream")
    assert len(first) >= 32
    assert kept_secret(alone / "data", "stream") == first
    assert kept_secret(alone / "data", "twilio") != first
    for path, mode in ((alone / "data/secrets", 0o700), (alone / "data/secrets/stream", 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_given_secret_wins_over_a_made_one(alone: Path) -> None:
    settings = read_settings(hearline_data_dir=alone, hearline_secret="given", twilio_auth_token="account")
    assert (stream_secret(settings), twilio_token(settings)) == ("given", "account")
    assert not (alone / "secrets").exists()
    settings = read_settings(hearline_data_dir=alone)
    assert stream_secret(settings) == (alone / "secrets/stream").read_text()
    assert twilio_token(settings) == (alone / "secrets/twilio").read_text()
