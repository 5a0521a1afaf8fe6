"""HEADRACE_BROKER_URL names a RabbitMQ, or doorbells go over Redis; what can't work is refused before anything starts."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from celery.worker.strategy import default
from kombu.message import Message as ReceivedMessage

from api.local.stack_settings import settings_from as stack_settings
from api.settings import ApiSettings
from schema.errors import InputError
from schema.ids import new_id
from schema.job_kinds import KINDS, QUEUES
from tests.secret import SECRET_KEY
from workers.amqp.address import QUEUE_ARGUMENTS, broker_url, celery_tls, place, split
from workers.celery.app import build_app
from workers.queue.doorbell import Doorbell, amqp_message
from workers.settings import settings_from as worker_settings

ENV = {
    "HEADRACE_REDIS_URL": "redis://127.0.0.1/0",
    "HEADRACE_DATABASE_URL": "postgresql://headrace@127.0.0.1/headrace",
    "HEADRACE_SECRET_KEYS": SECRET_KEY,
}
CLUSTER = "amqp://headrace:hunter2@a/;amqp://headrace:hunter2@b:5673/"
Read = Callable[[Mapping[str, str]], Any]
READERS: list[Read] = [ApiSettings.from_env, worker_settings, stack_settings]


@pytest.mark.parametrize("read", READERS)
def test_every_process_knows_the_broker_and_none_shows_it(read: Read) -> None:
    assert read(ENV).broker_url is None
    settings = read({**ENV, "HEADRACE_BROKER_URL": CLUSTER})
    assert CLUSTER == settings.broker_url
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://:hunter2@127.0.0.1:6379/1", "must be a URL of RabbitMQ.*doorbells go over HEADRACE_REDIS_URL"),
        ("sqs://hunter2@", "other brokers are not supported"),
        ("rabbitmq:5672/hunter2", "must be a URL of RabbitMQ"),
        ("amqp://headrace:hunter2@:5672", "is no URL of RabbitMQ"),
        ("amqp://headrace:hunter2@a/?connection_timeout=5", "has parameters after a question mark. It takes none"),
        ("amqp://headrace:hunter2@a:port/", "is no URL of RabbitMQ"),
        ("amqps://headrace:hunter2@a/;amqps://headrace:hunter2@b/", "names several nodes with amqps"),
    ],
)
def test_what_can_not_carry_doorbells_is_refused_with_the_reason(read: Read, url: str, reason: str) -> None:
    with pytest.raises((ValueError, InputError), match=f"HEADRACE_BROKER_URL .*{reason}") as refused:
        read({**ENV, "HEADRACE_BROKER_URL": url})
    assert "hunter2" not in str(refused.value)


def test_the_nodes_of_a_cluster_are_known() -> None:
    assert [("a", 5672), ("b", 5673)] == [place(url) for url in split(CLUSTER)]
    assert ("a", 5671) == place("amqps://a")
    assert broker_url({"HEADRACE_BROKER_URL": " "}) is None


def test_celery_checks_the_certificate_of_the_name_that_was_asked_for() -> None:
    with build_app("redis://127.0.0.1/0", "amqps://headrace:x@broker.example.com/") as app:
        assert {"context": {"check_hostname": True}, "server_hostname": "broker.example.com"} == app.conf.broker_use_ssl
    assert celery_tls("amqp://a/") is None


def test_nothing_that_is_for_redis_is_asked_of_rabbitmq() -> None:
    with build_app("redis://127.0.0.1/0", CLUSTER) as app:
        assert ({}, "workers.celery.consumer:AmqpConsumer") == (
            app.conf.broker_transport_options,
            app.conf.worker_consumer,
        )
        assert dict.fromkeys(QUEUES, QUEUE_ARGUMENTS) == {
            queue.name: queue.queue_arguments for queue in app.conf.task_queues
        }
        assert [(name, name, name) for name in QUEUES] == [
            (queue.name, queue.exchange.name, queue.routing_key) for queue in app.conf.task_queues
        ]


def test_celery_reads_a_doorbell_of_rabbitmqs_as_a_task_that_carries_ids_and_nothing_else() -> None:
    from unittest.mock import MagicMock

    bell = Doorbell(new_id(), new_id(), "chat", 3, "headrace:inbox:a")
    sent = amqp_message(bell)
    task = KINDS["chat"].task
    received = ReceivedMessage(
        sent.body,
        content_type="application/json",
        content_encoding="utf-8",
        headers=sent.headers,
        properties={"correlation_id": sent.id},
        delivery_info={"routing_key": sent.queue},
        accept={"application/json"},
    )
    consumer = MagicMock(hostname="h", event_dispatcher=None, disable_rate_limits=True)
    consumer.controller.state.revoked = set()
    with build_app("redis://127.0.0.1/0", CLUSTER) as app:
        default(app.tasks[task], app, consumer)(received, None, MagicMock(), MagicMock(), ())
    request = consumer.on_task_request.call_args[0][0]
    assert (task, str(bell.job_id), "chat") == (request.name, request.id, sent.queue)
    assert [str(bell.tenant_id), str(bell.job_id), 3, "headrace:inbox:a"] == list(request.args)
    assert {} == request.kwargs
    assert [[str(bell.tenant_id), str(bell.job_id), 3, "headrace:inbox:a"], {}] == json.loads(sent.body)[:2]
