"""``fastq completion``: completion scripts for bash, zsh and fish, made from the parsers themselves."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from fastq.cli.exit_status import ExitStatus

_EPILOG = """\
to install:
  bash  fastq completion bash > ~/.local/share/bash-completion/completions/fastq
  zsh   fastq completion zsh > "${fpath[1]}/_fastq"
  fish  fastq completion fish > ~/.config/fish/completions/fastq.fish"""

_FILES = frozenset({"FILE", "FILE.parquet", "TRACE", "LOG", "DIR", "OLD", "NEW", "SPEC", "PLAN"})
"""Placeholders that stand for a file or a directory."""

_BASH_GOES_ON = "compopt -o nospace +o filenames 2>/dev/null"
"""No space follows, and the "=" is not escaped as in the name of a file."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command, as completion sees it.

    Parameters
    ----------
    flags
        ``--x`` and ``-x``; empty for a positional argument.
    words
        What it may be, or how it may begin, up to a "="; empty where that is open.
    takes_file
        Whether a file or a directory is expected.
    takes_value
        Whether anything is expected after the flag.
    text
        One line of help.
    """

    flags: tuple[str, ...]
    words: tuple[str, ...]
    takes_file: bool
    takes_value: bool
    text: str

    @property
    def goes_on(self) -> bool:
        """Whether more follows a word, with no space between."""
        return any(word.endswith("=") for word in self.words)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "completion",
        help="print a completion script for bash, zsh or fish",
        description="Print a script that makes the shell complete commands, options, grid and plan names.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=tuple(_SCRIPTS), help="which shell")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from fastq.cli.main import build_parser

    sys.stdout.write(_SCRIPTS[args.shell](_commands(build_parser())))
    return ExitStatus.DONE


def _commands(parser: argparse.ArgumentParser) -> dict[str, tuple[str, list[Argument]]]:
    """Return help and arguments of each command."""
    from fastq.model.catalogue import grid_names, plan_names
    from fastq.model.document import settable_keys
    from fastq.model.load_plan import settable_plan_keys

    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    texts = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    words = {
        "SPEC": tuple(grid_names()),
        "PLAN": tuple(plan_names()),
        "TOPIC": (*texts, "spec"),
        "KEY=VALUE": tuple(f"{key}=" for key in settable_keys()),
    }
    of_plans = words | {"KEY=VALUE": tuple(f"{key}=" for key in settable_plan_keys())}
    return {
        name: (
            texts.get(name, ""),
            [_argument(action, of_plans if name == "plan" else words) for action in command._actions],
        )
        for name, command in commands.choices.items()
    }


def _argument(action: argparse.Action, words: dict[str, tuple[str, ...]]) -> Argument:
    """Describe one argument; ``words`` says what a placeholder may be."""
    place = action.metavar if isinstance(action.metavar, str) else ""
    return Argument(
        flags=tuple(action.option_strings),
        words=words.get(place, tuple(map(str, action.choices or ()))),
        takes_file=place in _FILES,
        takes_value=action.nargs != 0,
        text=(action.help or "").replace("%(default)s", str(action.default)).partition(";")[0],
    )


def _bash(commands: dict[str, tuple[str, list[Argument]]]) -> str:
    cases = []
    for name, (_, arguments) in commands.items():
        flags = " ".join(flag for argument in arguments for flag in argument.flags)
        lines = [f"    {name})"]
        values = [argument for argument in arguments if argument.flags and argument.takes_value]
        if values:
            lines.append('      case "$previous" in')
            lines.extend(f"        {'|'.join(each.flags)}) {_bash_reply(each)}; return ;;" for each in values)
            lines.append("      esac")
        lines.append(
            f'      [[ $current == -* ]] && {{ COMPREPLY=($(compgen -W "{flags}" -- "$current")); return; }}'
        )
        lines.extend(f"      {_bash_reply(argument)}" for argument in arguments if not argument.flags)
        lines.append("      ;;")
        cases.append("\n".join(lines))
    names = " ".join(commands)
    body = "\n".join(cases)
    return f"""\
# bash completion of fastq
_fastq() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W "{names} --help --version" -- "$current"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{body}
  esac
}}
complete -o filenames -F _fastq fastq
"""


def _bash_reply(argument: Argument) -> str:
    parts = []
    if argument.takes_file:
        parts.append('compgen -f -- "$current"')
    if argument.words:
        parts.append(f'compgen -W "{" ".join(argument.words)}" -- "$current"')
    reply = f"COMPREPLY+=($({'; '.join(parts)}))" if parts else ":"
    return f"{reply}; {_BASH_GOES_ON}" if argument.goes_on else reply


def _zsh(commands: dict[str, tuple[str, list[Argument]]]) -> str:
    names = "\n".join(f"    {_quoted(f'{name}:{text}')}" for name, (text, _) in commands.items())
    cases = []
    for name, (_, arguments) in commands.items():
        specs = " \\\n        ".join(spec for argument in arguments for spec in _zsh_specs(argument))
        cases.append(f"    {name})\n      _arguments \\\n        {specs}\n      ;;")
    body = "\n".join(cases)
    return f"""\
#compdef fastq
# zsh completion of fastq
_fastq() {{
  local -a commands
  commands=(
{names}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{body}
  esac
}}
_fastq "$@"
"""


def _zsh_specs(argument: Argument) -> list[str]:
    words = " ".join(argument.words)
    action = f'{{compadd -S "" -- {words}}}' if argument.goes_on else f"({words})" if words else ""
    if argument.takes_file:
        action = f"{{_alternative 'words:name:{action}' 'files:file:_files'}}" if action else "_files"
        action = action.replace("'", '"')
    text = argument.text.replace("[", "(").replace("]", ")").replace(":", "\\:")
    if not argument.flags:
        return [_quoted(f":{text}:{action}")]
    value = f":value:{action or ' '}" if argument.takes_value else ""
    return [_quoted(f"*{flag}[{text}]{value}") for flag in argument.flags]


def _fish(commands: dict[str, tuple[str, list[Argument]]]) -> str:
    lines = ["# fish completion of fastq", "complete -c fastq -f"]
    for name, (text, arguments) in commands.items():
        lines.append(f"complete -c fastq -n __fish_use_subcommand -a {name} -d {_quoted(text)}")
        inside = f"complete -c fastq -n '__fish_seen_subcommand_from {name}'"
        for argument in arguments:
            flags = "".join(
                f" -l {flag[2:]}" if flag.startswith("--") else f" -s {flag[1:]}" for flag in argument.flags
            )
            words = f" -a {_quoted(' '.join(argument.words))}" if argument.words else ""
            kind = (" -r" if argument.takes_value and flags else "") + (" -F" if argument.takes_file else "")
            lines.append(f"{inside}{flags}{kind}{words} -d {_quoted(argument.text)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
