"""Mail after a click: a user and the job that greets her are stored together; real SMTP does the rest.

python signup.py         # the page, a worker, and a mail server to try with; README.md has the rest
"""

import os
import re
import smtplib
from contextlib import suppress
from email.message import EmailMessage

from flask import Flask, request

from sidework import Discard, JobFailure, Retry, Sidework, current_job

SMTP = os.environ.get("SMTP_HOST", "localhost"), int(os.environ.get("SMTP_PORT", "8025"))
ADDRESS = re.compile(r"[^\s@,<>\"]+@[^\s@,<>\"]+")
PAGE = """<!doctype html><title>Sign up</title>
<form method=post><input name=email type=email required> <button>Sign up</button></form>"""

jobs = Sidework()
web = Flask(__name__)
# How a value is left open in SQL: psycopg's way, or that of SQLite.
VALUE = "%s" if jobs.url.startswith("postgresql:") else "?"


@jobs.task(queue="mail")
def bounced(failure: JobFailure) -> None:
    email = jobs.job(failure.job_id).info().arguments["email"]
    with jobs.transaction() as connection:
        connection.execute(
            f"UPDATE users SET bounced = {VALUE} WHERE email = {VALUE}", (failure.message, email)
        )


@jobs.task(
    queue="mail",
    retries=12,
    backoff=lambda attempt: min(2 ** (attempt - 1), 3600),
    on_failure=bounced,
)
def welcome(email: str) -> str:
    """Greet her. What the mail server refuses for good is discarded; all else is tried again."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "hello@shop.example", email, "Welcome"
    # The same in each attempt: by this a receiver knows what it has already.
    mail["Message-ID"] = f"<{current_job().id}@shop.example>"
    mail.set_content("Nice to have you here.")
    code, why = deliver(mail)
    if code >= 500:
        raise Discard(f"{code} {why}")
    if code >= 400:
        raise Retry(f"{code} {why}")
    return str(mail["Message-ID"])


def deliver(mail: EmailMessage) -> tuple[int, str]:
    """What the mail server answers. ``OSError`` if there is none."""
    try:
        smtp = smtplib.SMTP(*SMTP, timeout=20)
        smtp.send_message(mail)
    except smtplib.SMTPRecipientsRefused as refused:
        [(code, why)] = refused.recipients.values()
        return code, why.decode(errors="replace")
    except smtplib.SMTPResponseException as refused:
        return refused.smtp_code, str(refused.smtp_error)
    # It has the mail: whatever goes wrong from now on must not send it again.
    with suppress(smtplib.SMTPException, OSError):
        smtp.quit()
    return 250, "accepted"


@web.get("/")
def page() -> str:
    return PAGE


@web.post("/")
def sign_up() -> tuple[str, int]:
    email = request.form.get("email", "").strip().lower()
    if not ADDRESS.fullmatch(email):
        return "This is no address of mail.", 400
    with jobs.transaction() as connection:
        added = connection.execute(
            f"INSERT INTO users (email) VALUES ({VALUE}) ON CONFLICT DO NOTHING RETURNING email",
            (email,),
        ).fetchall()
        if added:  # not by a second click
            welcome.options(connection=connection).enqueue(email)
    return "Welcome! A mail is on its way.", 202


def make_table() -> None:
    with jobs.transaction() as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS users (email TEXT PRIMARY KEY, bounced TEXT)"
        )


if __name__ == "__main__":
    from postbox import postbox

    make_table()
    with postbox(*SMTP), jobs.worker():
        web.run(port=int(os.environ.get("PORT", "8000")))
