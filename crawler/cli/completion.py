"""`dme completion SHELL`: a script that completes commands, flags and choices, made from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module

from crawler.cli.common import program
from crawler.ledger.summary import EXIT_OK

SHELLS = ("bash", "zsh")

# What is typed after a flag or a command is looked up by its key: "dme", "dme init", "dme pacs find".
_SCRIPT = """\
_dme_complete() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} key= at
    for ((at = 1; at < COMP_CWORD; at++)); do
        case "$key ${{COMP_WORDS[at]}}" in
{commands}
        esac
    done
    case "$key $before" in
{choices}
    esac
    local words=
    case "$key" in
{words}
    esac
    if [[ $word == -* || ( -z $key && $COMP_CWORD == 1 && -n $words ) || $key == " pacs" ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    fi
    if [[ $word != -* ]]; then
        COMPREPLY+=($(compgen -f -- "$word"))
    fi
}}
complete -o filenames -F _dme_complete dme
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme completion SHELL`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} completion",
        description="Print a script that completes what you type after `dme`.",
        epilog="bash: source <(dme completion bash), in ~/.bashrc; zsh: the same with zsh, in ~/.zshrc",
    )
    parser.add_argument("shell", choices=SHELLS, help="which shell reads the script")
    return parser


def execute(options: argparse.Namespace) -> int:
    """Print the script."""
    print(script(options.shell), end="")
    return EXIT_OK


def script(shell: str) -> str:
    """Text of the script; that for zsh has zsh read the one for bash."""
    parsers = dict(_parsers())
    commands = "\n".join(f'            "{key}") key="{key}" ;;' for key in parsers if key)
    choices = "\n".join(
        f'        "{key} {flag}") COMPREPLY=($(compgen -W "{_choices(action)}" -- "$word")); return ;;'
        for key, parser in parsers.items()
        for action in parser._actions
        if action.choices and not isinstance(action, argparse._SubParsersAction)
        for flag in action.option_strings or [key.rpartition(" ")[2]]
    )
    words = "\n".join(f'        "{key}") words="{" ".join(_words(key, parser))}" ;;' for key, parser in parsers.items())
    text = _SCRIPT.format(commands=commands, choices=choices, words=words)
    return f"autoload -U +X bashcompinit && bashcompinit\n{text}" if shell == "zsh" else text


def _parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every parser by what is typed before its arguments: "", " init", " pacs", " pacs find" ..."""
    from crawler.cli import arguments  # it lists the commands, this one among them

    yield "", arguments.build_parser()
    for name in arguments.COMMANDS:
        parser = import_module(f"crawler.cli.{name}").build_parser()
        yield f" {name}", parser
        for below, command in _subcommands(parser).items():
            yield f" {name} {below}", command


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(actions[0].choices) if actions else {}


def _choices(action: argparse.Action) -> str:
    return " ".join(map(str, action.choices or ()))


def _words(key: str, parser: argparse.ArgumentParser) -> list[str]:
    """What may stand after the words of a key."""
    from crawler.cli import arguments  # as above

    flags = [flag for action in parser._actions for flag in action.option_strings]
    return [*(arguments.COMMANDS if not key else ()), *_subcommands(parser), *flags]
