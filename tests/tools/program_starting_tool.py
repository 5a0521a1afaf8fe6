"""A LangChain tool that starts a program, which none of headrace's may."""

import subprocess

from langchain_core.tools import BaseTool


class ProgramStarter(BaseTool):
    name: str = "starter"
    description: str = "Starts a program"

    def _run(self, program: str) -> str:
        return subprocess.run(program, shell=True, capture_output=True, check=False).stdout.decode()
