"""Celery beside Posthaste: `peer.py enqueue SOCKET COUNT FROM FIRST_MS SPAN_MS` puts tasks into the queue, due at once when
FIRST_MS is 0; `peer.py work SOCKET URL AT_ONCE` starts Celery with the task below, which sends by a POST; `peer.py versions`
names what is measured."""

import os
import sys
import time
from datetime import datetime, timezone
from urllib.parse import urlencode, urlsplit

import celery
from celery.signals import worker_ready

TEXT = "x" * 160
DAY = 86_400

app = celery.Celery("peer", broker="redis+socket://" + os.environ.get("PEER_SOCKET", ""))
app.conf.update(
    task_ignore_result=True,
    task_default_queue="sms",
    # Otherwise a task due later than in an hour is handed out again and again.
    broker_transport_options={"visibility_timeout": 10 * DAY},
    broker_connection_retry_on_startup=True,
    # The word `ready` is for the benchmark, not for a log.
    worker_redirect_stdouts=False,
)
connections = None


@app.task(name="send")
def send(to, text):
    """One message."""
    global connections
    if connections is None:
        import urllib3

        target = urlsplit(os.environ["PEER_URL"])
        at_once = int(os.environ["PEER_AT_ONCE"])
        connections = urllib3.HTTPConnectionPool(target.hostname, target.port, maxsize=at_once), target.path
    pool, path = connections
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"to": to, "text": text})
    answer = pool.request("POST", f"{path}?to={to[1:]}", body=body, headers=headers)
    if answer.status != 200:
        raise RuntimeError(f"answered {answer.status}")


@worker_ready.connect
def ready(**_):
    """Told to the benchmark."""
    print("ready", flush=True)


def enqueue(count, begin, first, span):
    """Celery has no call for many tasks at once; they share a connection."""
    with app.producer_or_acquire() as producer:
        producer.connection.ensure_connection()
        start = time.monotonic()
        for n in range(count):
            eta = first and datetime.fromtimestamp((first + n * span // count) / 1000, timezone.utc)
            send.apply_async((f"+7916{begin + n:07d}", TEXT), producer=producer, eta=eta or None)
        print(f"seconds {time.monotonic() - start}")


def work(url, at_once):
    """Becomes Celery's own program."""
    os.environ.update(PEER_URL=url, PEER_AT_ONCE=at_once)
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    # Threads were the fastest of its pools here, and need the least memory.
    words = ["-m", "celery", "-A", "peer", "worker", "--pool", "threads", "--concurrency", at_once]
    words += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"]
    os.execv(sys.executable, [sys.executable, *words])


def versions():
    """What is measured."""
    import kombu
    import redis

    python = ".".join(map(str, sys.version_info[:3]))
    print(f"Celery {celery.__version__}, kombu {kombu.__version__}, redis-py {redis.__version__}, Python {python}")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "versions":
        versions()
    else:
        os.environ["PEER_SOCKET"] = rest[0]
        app.conf.broker_url = "redis+socket://" + rest[0]
        if what == "enqueue":
            enqueue(*map(int, rest[1:]))
        else:
            work(*rest[1:])
