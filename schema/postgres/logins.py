"""The two users that processes connect to Postgres as: `headrace_app` and `headrace_system`.

Neither can become the owner of the tables, who only migrates: a process that connects as the owner and gives up its rights can
take them back (`SET ROLE NONE`). Their passwords are derived from the owner's, so that one URL is enough, unless they have URLs
of their own. Planner and time-outs are settings of the users, as poolers drop what a connection asks for at its start. Every
new connection proves all of this before its first use; no process works with one that can't.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Literal, LiteralString, cast, get_args

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from schema.errors import LoginRefused
from schema.postgres.pooling import check_pooling
from schema.postgres.servers import check_primary_wanted

Role = Literal["headrace_app", "headrace_system"]
ROLES: tuple[Role, ...] = get_args(Role)

URL_SETTINGS: dict[Role, str] = {
    "headrace_app": "HEADRACE_APP_DATABASE_URL",
    "headrace_system": "HEADRACE_SYSTEM_DATABASE_URL",
}

# All statements find rows by an index, whatever the values. Planning one for its values would cost more than running it (0.7 ms
# against 0.1 ms), so each is planned once per connection.
SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",  # a table that is empty at planning time won't stay empty
    "jit": "off",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "1min",
}
"""The settings of both users, as Postgres shows them."""

NOTICES_VANISHED = {"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3",
                    "tcp_user_timeout": "60000"}  # fmt: skip
"""How soon the server ends a connection whose process is out of reach, after a minute at most. By default it keeps it for two
hours, with a place among `max_connections`: a host that loses its network now and then would use them up."""

PROOF = cast(
    LiteralString,
    f"""
SELECT session_user::text AS login, current_user::text AS role, r.rolsuper, r.rolbypassrls,
  ARRAY(SELECT m.roleid::regrole::text FROM pg_auth_members m WHERE m.member = r.oid) AS member_of,
  {", ".join(f"current_setting('{name}') AS {name}" for name in SETTINGS)},
  {", ".join(f"set_config('{name}', '{value}', false) AS {name}" for name, value in NOTICES_VANISHED.items())}
FROM pg_roles r WHERE r.rolname = session_user
""",
)

# What a server or a pooler says when it answers but refuses the user; anything else is an outage.
REFUSALS = (
    *("authentication failed", "no password", "is not permitted to log in", "does not exist", "no such user"),
    *("no pg_hba.conf entry", "unsupported startup parameter", "permission denied for database", "not allowed"),
)

ADVICE = (
    "Run ./headrace migrate with the owner's HEADRACE_DATABASE_URL: it prepares both users. Behind PgBouncer, give the "
    "processes HEADRACE_APP_DATABASE_URL and HEADRACE_SYSTEM_DATABASE_URL with the users headrace_app and headrace_system, "
    "and let PgBouncer pass them on: no user= in its [databases]; options are not needed."
)


def login_conninfo(database_url: str, role: Role) -> str:
    """Return how to connect as `role`: `database_url` itself if it names that user (or `role.project`, as some poolers want),
    else the same place with a password derived from the owner's."""
    parts = conninfo_to_dict(database_url)
    if is_login(database_url, role):
        return database_url
    password = parts.get("password")
    return _joined(parts, user=role, password=derived_password(str(password), role) if password else None)


def _joined(parts: Mapping[str, Any], *, user: str, password: str | None) -> str:
    named: dict[str, Any] = {**parts, "user": user, "password": password}
    return make_conninfo(**{name: value for name, value in named.items() if value is not None})


def is_login(database_url: str, role: Role) -> bool:
    """Whether the URL names `role` as its user."""
    user = str(conninfo_to_dict(database_url).get("user") or "")
    return user == role or user.startswith(f"{role}.")


def derived_password(owner_password: str, role: Role) -> str:
    """Return the password of `role`; the owner's can't be computed from it."""
    return hmac.new(owner_password.encode(), f"headrace login {role}".encode(), hashlib.sha256).hexdigest()


def url_from(env: Mapping[str, str], role: Role, default: str) -> str:
    """Return the URL of `role` that the environment names, else `default`. Raises ValueError for one with another user."""
    url = env.get(URL_SETTINGS[role], "").strip()
    if not url:
        return default
    try:
        valid = is_login(url, role)
    except psycopg.Error:
        valid = False
    if not valid:  # the value may contain a password, so it is not repeated
        raise ValueError(
            f"{URL_SETTINGS[role]} must be a URL with the user {role}: postgresql://{role}:password@127.0.0.1:5432/headrace."
        )
    check_primary_wanted(URL_SETTINGS[role], url)
    return url


def check_proof(row: Mapping[str, Any] | None, role: Role) -> None:
    """Raise LoginRefused if `row`, the result of PROOF, shows that a connection is not what it must be."""
    faults = _faults(row or {}, role)
    if faults:
        raise LoginRefused(f"The connection to Postgres as {role} was refused: {'; '.join(faults)}. {ADVICE}")


def _faults(row: Mapping[str, Any], role: Role) -> list[str]:
    faults: list[str] = []
    if row.get("login") != role or row.get("role") != role:
        faults.append(f"its user is {row.get('login')}, its role {row.get('role')}")
    if row.get("rolsuper"):
        faults.append("its user is a superuser, for whom row-level security does not hold")
    if row.get("rolbypassrls"):
        faults.append("its user bypasses row-level security (BYPASSRLS)")
    if row.get("member_of"):
        faults.append(f"its user can become {', '.join(row['member_of'])}")
    missing = [f"{name}={value}" for name, value in SETTINGS.items() if row.get(name) != value]
    if missing:
        faults.append(f"not in force: {', '.join(missing)}")
    return faults


def check_login(database_url: str, role: Role) -> None:
    """Connect as `role` once, at the start of a process. Raises LoginRefused if that user is refused or isn't what it must be,
    or a pooler can't do what we need; does nothing while Postgres is unavailable: each later connection proves itself."""
    try:
        conninfo = login_conninfo(database_url, role)
        with _connect(conninfo) as db:
            check_proof(db.execute(PROOF).fetchone(), role)
        check_pooling(lambda: _connect(conninfo))
    except psycopg.OperationalError as error:
        if is_refusal(error):
            raise LoginRefused(f"Postgres refused the user {role}. {ADVICE}") from error


def is_refusal(error: psycopg.Error) -> bool:
    """Whether a failed connection was refused because of its user, as opposed to an outage. libpq gives no code for it."""
    return any(refusal in str(error) for refusal in REFUSALS)


def _connect(conninfo: str) -> psycopg.Connection[DictRow]:
    return psycopg.Connection[DictRow].connect(
        conninfo, autocommit=True, connect_timeout=5, row_factory=dict_row, prepare_threshold=None
    )


def ensure_logins(database_url: str, role_urls: Mapping[Role, str]) -> None:
    """Make sure that both users can log in with their passwords and have their settings. `database_url` is the owner's,
    `role_urls` are those with passwords of their own. Raises LoginRefused if the owner may not do that."""
    for role in ROLES:
        wanted = conninfo_to_dict(login_conninfo(role_urls.get(role, database_url), role))
        password = str(wanted.get("password") or "")
        if not _works(_joined(conninfo_to_dict(database_url), user=role, password=password or None), role):
            _prepare(database_url, role, password)


def _works(conninfo: str, role: Role) -> bool:
    try:
        with _connect(conninfo) as db:
            check_proof(db.execute(PROOF).fetchone(), role)
    except (psycopg.OperationalError, LoginRefused):
        return False
    return True


def _prepare(database_url: str, role: Role, password: str) -> None:
    """Let `role` log in with its settings. Users belong to the whole server and the lock of `migrate` to one database, so
    another one may be doing the same; then this one tries again."""
    for last in (False, False, False, True):
        try:
            with _connect(database_url) as db, db.transaction():
                for statement in _statements(db, role, password):
                    db.execute(statement)
            return
        except psycopg.errors.InsufficientPrivilege as error:
            settings = " ".join(f"ALTER ROLE {role} SET {name} = '{value}';" for name, value in SETTINGS.items())
            raise LoginRefused(
                f"The user of HEADRACE_DATABASE_URL may not prepare the user {role}. Let an administrator run: "
                f"ALTER ROLE {role} LOGIN PASSWORD '…'; {settings} and put that password into {URL_SETTINGS[role]}."
            ) from error
        except psycopg.errors.InternalError:  # "tuple concurrently updated"
            if last:
                raise


def _statements(db: psycopg.Connection[DictRow], role: Role, password: str) -> list[sql.Composed]:
    """Return the statements that prepare `role`. They hold a hash of the password, as servers may log them."""
    user = sql.Identifier(role)
    statements = [sql.SQL("ALTER ROLE {} LOGIN").format(user)]
    if password:
        digest = db.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        statements.append(sql.SQL("ALTER ROLE {} PASSWORD {}").format(user, sql.Literal(digest)))
    for name, value in SETTINGS.items():
        statements.append(sql.SQL("ALTER ROLE {} SET {} = {}").format(user, sql.Identifier(name), sql.Literal(value)))
    allowed = db.execute(
        "SELECT current_database() AS name, has_database_privilege(%s, current_database(), 'CONNECT')", (role,)
    )
    place = allowed.fetchone()
    if place and not place["has_database_privilege"]:
        statements.append(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(place["name"]), user))
    return statements
