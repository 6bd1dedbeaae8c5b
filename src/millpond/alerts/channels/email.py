"""E-mail as text and HTML, with files; a repeated message has the Message-ID of the first."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from html import escape

from pydantic import SecretStr

from millpond.alerts.message import Message
from millpond.errors import AlertNotSent
from millpond.redaction import redacted, register
from millpond.settings import Settings

_SECONDS = 15.0
_SUBJECT_LIMIT = 200


@dataclass(frozen=True)
class EmailChannel:
    """Sends messages through an SMTP server, one mail to all receivers."""

    host: str
    port: int
    security: str
    sender: str
    receivers: tuple[str, ...]
    user: str | None = None
    password: SecretStr | None = None
    name: str = "email"
    incidents: bool = False

    @classmethod
    def of(cls, settings: Settings) -> EmailChannel:
        """Return the channel that the settings describe."""
        if settings.smtp_password:
            register(settings.smtp_password.get_secret_value())
        receivers = tuple(each.strip() for each in (settings.email_to or "").split(",") if each.strip())
        return cls(
            settings.smtp_host or "",
            settings.smtp_port,
            settings.smtp_security,
            settings.email_from,
            receivers,
            settings.smtp_user,
            settings.smtp_password,
        )

    def send(self, message: Message) -> None:
        """Send the message; raises AlertNotSent."""
        handed = False
        try:
            with self._connect() as server:
                handed = True
                refused = server.send_message(self._build_mail(message), self.sender, list(self.receivers))
        except smtplib.SMTPServerDisconnected as error:
            raise self._failure(error, uncertain=handed) from None
        except smtplib.SMTPException as error:
            raise self._failure(error, uncertain=False) from None
        except OSError as error:
            raise self._failure(error, uncertain=handed) from None
        if refused:
            raise self._failure(smtplib.SMTPRecipientsRefused(refused), uncertain=True)

    def _connect(self) -> smtplib.SMTP:
        if self.security == "tls":
            context = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=_SECONDS, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=_SECONDS)
        try:
            if self.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self.user and self.password:
                server.login(self.user, self.password.get_secret_value())
        except BaseException:
            server.close()
            raise
        return server

    def _build_mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = message.subject(_SUBJECT_LIMIT, f"[{message.severity}] ")
        mail["From"], mail["To"] = self.sender, ", ".join(self.receivers)
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message.id}@millpond>"
        # Mail programs show the resolution in the thread of the alert.
        mail["References"] = f"<{message.incident}@millpond>"
        mail.set_content(redacted(message.plain))
        mail.add_alternative(_format_html(message), subtype="html")
        if file := message.attachment:
            mail.add_attachment(file.content, subtype=file.subtype, filename=file.name)
        return mail

    def _failure(self, error: Exception, *, uncertain: bool) -> AlertNotSent:
        return AlertNotSent(
            redacted(f"email: {self.host} did not accept the message: {type(error).__name__}: {error}"),
            unharmed="the alert, which is in the log and is sent again later",
            next_step="check the settings of email in .env, then run `millpond alerts test email`",
            uncertain=uncertain,
        )


def _format_html(message: Message) -> str:
    rows = "".join(
        f"<tr><th align=left>{escape(name)}</th><td>{escape(redacted(value))}</td></tr>"
        for name, value in message.facts.items()
    )
    button = f'<p><a href="{escape(message.url)}">View logs</a></p>' if message.url else ""
    return (
        f"<h3>{escape(redacted(message.title))}</h3><pre>{escape(redacted(message.text))}</pre>"
        f"{_format_paragraph('Unharmed', message.unharmed)}{_format_paragraph('Next', message.next_step)}"
        f'<table>{rows}</table>{button}<p><a href="{escape(message.runbook)}">What to do</a></p>'
        f"<p>{escape(message.footer)}</p>"
    )


def _format_paragraph(name: str, text: str) -> str:
    return f"<p><b>{name}:</b> {escape(text)}</p>" if text else ""
