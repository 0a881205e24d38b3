"""Every setting, read once: command-line flags over the environment over .env over the defaults below."""

from __future__ import annotations

import binascii
import ipaddress
import os
import re
from base64 import b64decode
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251  (set, not read)
# NumPy's products are small here: on several threads they cost five times the CPU. Works before NumPy is imported.

AsrEngine = Literal["auto", "moonshine", "faster-whisper", "sherpa", "openai"]
DiarizerName = Literal["ge2e", "pyannote", "off"]
AsrDevice = Literal["auto", "cpu", "cuda"]
LlmProvider = Literal["none", "ollama", "openai", "openrouter", "huggingface", "custom"]
TwilioMode = Literal["connect", "listen"]
RecordingFormat = Literal["opus", "flac"]
SipSrtp = Literal["allowed", "required"]


_REGISTRAR = r"sips?:[^\s:@;?]+@([^\s:@;?\[\]]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?(;transport=(udp|tcp|tls))?"


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message names it."""


class Settings(BaseSettings):
    """What an installation may choose. Each field is named as its environment variable."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore"
    )

    hearline_host: str = Field("127.0.0.1", description="address that the one port listens on")
    hearline_port: int = Field(8080, ge=1, le=65535, description="the one port")
    hearline_data_dir: Path = Field(
        Path("~/.local/share/hearline"), description="models, embedded databases and secrets"
    )
    hearline_api_token: SecretStr | None = Field(None, description="bearer token with role admin, for automation")
    hearline_secret: SecretStr | None = Field(
        None, description="key material for stream tokens (else made and kept in the data directory)"
    )
    hearline_log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe log line shown"
    )
    hearline_recording: bool = Field(True, description="whether calls are recorded at all; each queue may say no")
    hearline_recording_format: RecordingFormat = Field("opus", description="what finished recordings are: opus or flac")
    hearline_recording_days: int = Field(0, ge=0, le=36_500, description="days that recordings are kept; 0: for ever")
    hearline_import_mb: int = Field(2048, ge=1, le=1_000_000, description="largest recording that may be imported, MB")
    hearline_import_hours: int = Field(12, ge=1, le=24, description="longest recording that may be imported, hours")
    hearline_import_parallel: int = Field(2, ge=1, le=32, description="recordings that are imported at once")
    public_base_url: str | None = Field(None, description="https://... under which peers reach this server")

    database_url: str | None = Field(None, description="PostgreSQL (embedded when unset)")
    redis_url: str | None = Field(None, description="Redis or Valkey (embedded when unset)")

    twilio_account_sid: str | None = Field(None, description="the Twilio account")
    twilio_auth_token: SecretStr | None = Field(None, description="signs Twilio's webhooks and sockets")
    twilio_mode: TwilioMode = Field(
        "connect", description="connect: both ways through <Connect><Stream>; listen: <Start><Stream> beside <Dial>"
    )
    twilio_dial: str | None = Field(
        None, description="up to ten numbers or client:NAMEs that a listened-to call is dialled on to"
    )
    twilio_api_key_sid: str | None = Field(None, description="API key (SK...) behind the tokens of Twilio's Voice SDK")
    twilio_api_key_secret: SecretStr | None = Field(None, description="its secret")
    twilio_app_sid: str | None = Field(
        None, description="TwiML app (AP...) that Voice SDK clients may call out through"
    )

    audiosocket_host: str | None = Field(None, description="address of the AudioSocket door (shut when unset)")
    audiosocket_port: int = Field(9092, ge=0, le=65535, description="its port")
    audiosocket_trunks: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="networks whose AudioSocket calls need no announcing, comma separated (none when unset)"
    )
    audiohook_client_secret: SecretStr | None = Field(
        None, description="base64; AudioHook connections have to be signed with it (unset: the API key alone counts)"
    )

    webrtc_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="addresses that browsers' audio comes to, comma separated (all of this machine when unset)"
    )
    ice_servers: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="stun: and turn: addresses for browsers' audio, comma separated"
    )
    turn_username: str | None = Field(None, description="user name at the TURN servers")
    turn_password: SecretStr | None = Field(None, description="its password")
    turn_secret: SecretStr | None = Field(
        None, description="secret shared with the TURN servers: credentials that run out, instead of the two above"
    )

    sip_host: str | None = Field(None, description="address of the SIP sockets (HEARLINE_HOST when unset)")
    sip_port: int = Field(5060, ge=0, le=65535, description="port of SIP over UDP and TCP")
    sip_tls_port: int = Field(5061, ge=0, le=65535, description="port of SIP over TLS, if there is a certificate")
    sip_tls_cert: Path | None = Field(None, description="file with its certificate and chain, PEM")
    sip_tls_key: Path | None = Field(None, description="file with its private key, PEM")
    sip_public_host: str | None = Field(
        None, description="address under which SIP peers reach this server, if it is behind NAT"
    )
    sip_trunks: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="networks that may send calls without a password, comma separated"
    )
    sip_users: SecretStr | None = Field(None, description="name:password pairs that may send calls, comma separated")
    sip_register: str | None = Field(
        None, description="where to register for calls: sip:USER@HOST[:PORT][;transport=udp|tcp|tls]"
    )
    sip_register_password: SecretStr | None = Field(None, description="the password there")
    sip_srtp: SipSrtp = Field("allowed", description="encrypted audio: allowed, or required of every SIP call")
    rtp_ports: str = Field(
        "10000-10999", pattern=r"^\d{1,5}-\d{1,5}$", description="UDP ports for browsers' audio, and for SIP's"
    )

    siprec_agents: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="who is an agent in recorded calls: users or USER@HOST, with * and ?, comma separated"
    )

    asr_engine: AsrEngine = Field("auto", description="recogniser")
    asr_model: str | None = Field(None, description="a size, a hub name or a folder")
    asr_device: AsrDevice = Field("auto", description="where it runs")
    asr_language: str = Field("auto", pattern=r"^(auto|[a-z]{2,3})$", description="ISO 639 code, or auto")
    asr_languages: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="what auto chooses among, comma separated, the main language first (all when unset)"
    )
    asr_threads: int = Field(
        0, ge=0, le=64, description="threads that one recognition uses; 0: what the machine has, but for one core"
    )
    asr_base_url: str | None = Field(
        None, description="https://.../v1 of an OpenAI-compatible recogniser (engine openai)"
    )
    asr_api_key: SecretStr | None = Field(None, description="its key")
    asr_tracks: int = Field(4, ge=1, le=256, description="tracks that an automatically chosen model must keep up with")
    asr_calibrate: bool = Field(True, description="measure once how fast this machine recognises, for engine auto")

    diarizer: DiarizerName = Field("ge2e", description="what tells speakers on one track apart: ge2e, pyannote, off")
    diarizer_model: Path | None = Field(None, description="folder of a pyannote pipeline")
    diarizer_speakers: int = Field(2, ge=1, le=4, description="most speakers that one track is taken to have")

    llm_provider: LlmProvider = Field("none", description="language model for insights")
    llm_base_url: str | None = Field(None, description="its OpenAI-compatible address (a preset for all but custom)")
    llm_api_key: SecretStr | None = Field(None, description="its key")
    llm_model: str | None = Field(None, description="its model's name")
    llm_max_tokens: int = Field(1024, ge=64, le=32768, description="longest answer")
    llm_context_chunks: int = Field(60, ge=1, le=2000, description="last segments sent word for word")
    llm_analysis_interval: float = Field(10.0, ge=0.5, le=600, description="seconds between two analyses of a call")

    @field_validator("hearline_data_dir")
    @classmethod
    def _expand(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("public_base_url", "llm_base_url", "asr_base_url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if not url:
            return None
        if not url.startswith(("https://", "http://")):
            raise ValueError("must begin with https:// or http://")
        return url.rstrip("/")

    @field_validator("sip_trunks", "audiosocket_trunks", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        networks = tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
        for network in networks:
            ipaddress.ip_network(network)
        return networks

    @field_validator("audiohook_client_secret")
    @classmethod
    def _base64(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            if value is not None and len(b64decode(value.get_secret_value(), validate=True)) < 16:
                raise ValueError("must be at least 16 bytes in base64")
        except binascii.Error:
            raise ValueError("must be base64") from None
        return value

    @field_validator("sip_users")
    @classmethod
    def _users(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _pairs(value)
        return value

    @field_validator("sip_register")
    @classmethod
    def _registrar(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(_REGISTRAR, value):
            raise ValueError("must be sip:USER@HOST, with :PORT and ;transport=udp, tcp or tls where they differ")
        return value

    @field_validator("webrtc_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: Any) -> Any:
        hosts = tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
        for host in hosts:
            ipaddress.ip_address(host)
        return hosts

    @field_validator("siprec_agents", mode="before")
    @classmethod
    def _patterns(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("asr_languages", mode="before")
    @classmethod
    def _languages(cls, value: Any) -> Any:
        codes = tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
        for code in codes:
            if not re.fullmatch(r"[a-z]{2,3}", code):
                raise ValueError(f"{code} is no ISO 639 code such as en")
        return tuple(dict.fromkeys(codes))

    @field_validator("ice_servers", mode="before")
    @classmethod
    def _ice(cls, value: Any) -> Any:
        servers = tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
        for server in servers:
            if not re.fullmatch(r"(stuns?|turns?):[^\s/@?]+(\?transport=(udp|tcp))?", server):
                raise ValueError(f"{server} is no address such as stun:HOST:PORT or turn:HOST:PORT?transport=tcp")
        return servers

    @property
    def sip_is_open(self) -> bool:
        """Whether there is a SIP door at all."""
        return bool(self.sip_host or self.sip_trunks or self.sip_users or self.sip_register)

    @property
    def sip_passwords(self) -> dict[str, str]:
        """The SIP users' passwords by name."""
        return _pairs(self.sip_users) if self.sip_users else {}

    @property
    def twilio_token(self) -> str | None:
        return self.twilio_auth_token.get_secret_value() if self.twilio_auth_token else None


def _pairs(secret: SecretStr) -> dict[str, str]:
    pairs = {}
    for part in secret.get_secret_value().split(","):
        name, colon, password = part.strip().partition(":")
        if not (name and colon and password):
            raise ValueError("must be name:password pairs, comma separated")
        pairs[name] = password
    return pairs


def read_settings(**flags: Any) -> Settings:
    """Return the settings; `flags` that are not None win. Raises SettingsError with one clear line."""
    chosen = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**chosen)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "settings"
        raise SettingsError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None


def described_settings(settings: Settings) -> list[tuple[str, str, str]]:
    """Return (environment name, value with secrets masked, description) of every setting."""
    rows = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        shown = _without_password(value) if name in {"database_url", "redis_url"} and value else _as_written(value)
        rows.append((name.upper(), shown, field.description or ""))
    return rows


def _as_written(value: object) -> str:
    """Return a setting's value as `.env` takes it, for people."""
    if value is None or value == ():
        return "(unset)"
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if "@" not in parts.netloc and "pass" not in parts.query:
        return url
    query = urlencode([(name, "********" if "pass" in name else value) for name, value in parse_qsl(parts.query)])
    place = parts.netloc
    credentials, at, host = place.rpartition("@")
    if at and ":" in credentials:
        place = f"{credentials.split(':', 1)[0]}:********@{host}"
    return urlunsplit(parts._replace(netloc=place, query=unquote(query)))


def child_environment(**settings: str | None) -> dict[str, str]:
    """Return this process's environment for a child, with settings put over it; None takes one out."""
    environment = dict(os.environ)  # noqa: TID251  (this module is the one reader)
    for name, value in settings.items():
        environment.pop(name.upper(), None)
        if value is not None:
            environment[name.upper()] = value
    return environment


def bare_environment() -> dict[str, str]:
    """Return this process's environment for a child that must know no setting, and so no secret."""
    ours = {name.upper() for name in Settings.model_fields}
    return {name: value for name, value in os.environ.items() if name.upper() not in ours}  # noqa: TID251  (the same)


def metrics_dir() -> str | None:
    """Return the directory in which the processes of one installation share their metrics, if they do."""
    return os.environ.get("PROMETHEUS_MULTIPROC_DIR")  # noqa: TID251  (the same; the library's own variable)
