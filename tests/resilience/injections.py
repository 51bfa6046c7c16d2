"""SQL that isn't meant to be: what breaks out of a literal, an identifier, a comment, a format or a path."""

from __future__ import annotations

import json

HARM = "UPDATE pulsex.users SET display_name = 'injected'"
OTHER = "COMMENT ON FUNCTION auth.find_user IS NULL"
INJECTIONS = [
    f"'; {HARM}; --",
    f"x' || (SELECT 1) || ''; {HARM}; /*",
    f"'; {OTHER}; --",
    f'"; {HARM}; --',
    f"$$; {OTHER}; $$ $_$ {{}} %s %I %L %1$s",
    f"\\'; {OTHER}; -- \\",
    f"U&'\\0027; {HARM}; \u02bc \uff07; {HARM}; --",
    f"users; {HARM}; --",
    '$.** ? (@ like_regex ".*") \\gexec \\! true :\'x\'',
    "' OR TRUE --",
]
PLACES = {
    "text": lambda text: text,
    "text[]": lambda text: "{" + json.dumps(text) + "}",
    "jsonb": lambda text: json.dumps({text: text, "sections": [{"topic": text}], "settings": {text: text}}),
}
