"""SQL that isn't meant to be: what breaks out of a literal, an identifier, a comment, a format or a path."""

from __future__ import annotations

import json

HARM = "UPDATE pulsex.users SET display_name = 'injected'"
OTHER = "COMMENT ON FUNCTION auth.find_user IS NULL"
INJECTIONS = [
    f"'; {HARM}; --",
    f"'; {OTHER}; /*",
    f"x' || (SELECT 1) || ''; {HARM}; \u02bc \uff07",
    f'"; {HARM}; -- %s %I %L %1$s',
    f"$$; {OTHER}; $$ $_$ \\'; {HARM}; -- \\ U&'\\0027",
    f'users; {HARM}; -- $.** ? (@ like_regex ".*") \\gexec {{}}',
]
PLACES = {
    "text": lambda text: text,
    "text[]": lambda text: "{" + json.dumps(text) + "}",
    "jsonb": lambda text: json.dumps({text: text, "sections": [{"topic": text}], "settings": {text: text}}),
}
