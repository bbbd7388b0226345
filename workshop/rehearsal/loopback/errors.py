"""Discord's refusals as one exception with status, code and body; knows no routes."""

from __future__ import annotations

from workshop.rehearsal.loopback.world import Json


class ApiError(Exception):
    """A refusal that the client is to see."""

    def __init__(self, status: int, code: int, message: str, errors: Json | None = None) -> None:
        super().__init__(f"{status} {code}: {message} {errors or ''}".rstrip())
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors

    @property
    def body(self) -> Json:
        plain: Json = {"message": self.message, "code": self.code}
        return plain if self.errors is None else {**plain, "errors": self.errors}


def invalid(path: str, code: str, message: str) -> ApiError:
    """50035 at a dotted path of the payload, for example `components.0.label`."""
    errors: Json = {"_errors": [{"code": code, "message": message}]}
    for part in reversed(path.split(".")):
        errors = {part: errors}
    return ApiError(400, 50035, "Invalid Form Body", errors)


def unknown_channel() -> ApiError:
    return ApiError(404, 10003, "Unknown Channel")


def unknown_message() -> ApiError:
    return ApiError(404, 10008, "Unknown Message")


def unknown_member() -> ApiError:
    return ApiError(404, 10007, "Unknown Member")


def unknown_webhook() -> ApiError:
    return ApiError(404, 10015, "Unknown Webhook")


def unknown_interaction() -> ApiError:
    return ApiError(404, 10062, "Unknown interaction")


def already_answered() -> ApiError:
    return ApiError(400, 40060, "Interaction has already been acknowledged.")


def expired_token() -> ApiError:
    return ApiError(401, 50027, "Invalid Webhook Token")


def too_large() -> ApiError:
    return ApiError(413, 40005, "Request entity too large")


def unauthorized() -> ApiError:
    return ApiError(401, 0, "401: Unauthorized")


def missing_access() -> ApiError:
    return ApiError(403, 50001, "Missing Access")


def missing_permissions() -> ApiError:
    return ApiError(403, 50013, "Missing Permissions")


def archived_thread() -> ApiError:
    return ApiError(400, 50083, "Thread is archived")


def locked_thread() -> ApiError:
    return ApiError(403, 160005, "This thread is locked")


def no_text_channel() -> ApiError:
    return ApiError(400, 50008, "Cannot send messages in a non-text channel")


def no_dms() -> ApiError:
    return ApiError(403, 50007, "Cannot send messages to this user")


def blocked_by_automod() -> ApiError:
    return ApiError(400, 200000, "Message was blocked by automatic moderation")


def not_found() -> ApiError:
    return ApiError(404, 0, "404: Not Found")
