"""The session templates that there are. Where hooks go is not told: an address may hold a token."""

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Response

from processor.core.limits import limits_of
from processor.core.model import Rules
from processor.faces.auth.doors import Asking
from processor.faces.problems import Problem
from processor.faces.replica.context import Given
from processor.faces.v1.reading import answer
from processor.faces.v1.shapes import TemplateHook, TemplateInfo, TemplateList, answers
from processor.settings.templates import Template

router: Final = APIRouter(tags=["Templates"])


@router.get("/templates", responses=answers(TemplateList))
async def list_templates(who: Asking, context: Given) -> Response:
    """List the templates: their limits, what a session may be told when it begins, its phases and hooks."""
    del who
    rules = context.settings.rules()
    told = [_told(name, template, rules) for name, template in sorted(context.settings.templates.items())]
    return answer(msgspec.to_builtins(TemplateList(told)), {})


@router.get("/templates/{name}", responses=answers(TemplateInfo))
async def get_template(name: Annotated[str, Path()], who: Asking, context: Given) -> Response:
    """Get one template."""
    del who
    template = context.settings.templates.get(name)
    if template is None:
        raise Problem("not_found", "there is no such template", remedy="GET /v1/templates lists those there are")
    return answer(msgspec.to_builtins(_told(name, template, context.settings.rules())), {})


def _told(name: str, template: Template, rules: Rules) -> TemplateInfo:
    gap_ms, max_session_ms, pause_ms = limits_of(name, None, rules)
    phases = None if template.phases is None else {word: list(after) for word, after in template.phases.items()}
    hooks = [TemplateHook(name, sorted(hook.at), hook.every_messages) for name, hook in template.hooks.items()]
    return TemplateInfo(name, template.title, gap_ms, max_session_ms, pause_ms, template.config_schema, phases, hooks)
