"""A stage program as CLIC's Python images have them: it takes their options, and tells the master how far it is.

It reads the list of installed packages and writes it to HDFS as CSV. Its DAG file (JSON, which is YAML as well) says where to, in the
params of the first operator: outputPath. The variable DPKG names dpkg's directory.
"""

import getopt
import json
import os
import re
import subprocess
import sys

from fdu.daslab.thrift.master import SchedulerService
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.transport.TSocket import TSocket


def options():
    known = ["stageId=", "masterHost=", "masterPort=", "dagPath=", "udfPath="]
    try:
        pairs, rest = getopt.getopt(sys.argv[1:], "", known)
    except getopt.GetoptError as e:
        sys.exit(str(e))
    if rest:
        sys.exit("unknown arguments: %s" % rest)
    return {name.lstrip("-"): value for name, value in pairs}


def post(o, method, *args):
    """Makes a call on a connection of its own."""
    transport = TSocket(o["masterHost"], int(o["masterPort"]))
    transport.open()
    try:
        protocol = TMultiplexedProtocol(TBinaryProtocol(transport), "SchedulerService")
        result = getattr(SchedulerService.Client(protocol), method)(o["stageId"], *args)
        print(method, result.resultCode, flush=True)
    finally:
        transport.close()


def hdfs(*args, **more):
    return subprocess.run(["hdfs", "dfs", *args], check=True, stdout=subprocess.PIPE, **more).stdout


def packages(status):
    """Gives a line for each package of dpkg's status file: what it is, and the names of the packages that it depends on."""
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", paragraph, re.M))
        if not fields.get("Status", "").endswith(" installed"):
            continue
        domain = re.search(r"@([^>\s]+)>", fields.get("Maintainer", ""))
        depends = {re.split(r"[\s:(]", d.strip())[0] for d in re.split(r"[,|]", fields.get("Depends", "")) if d.strip()}
        yield ",".join([
            fields["Package"], fields.get("Section", "none"), fields.get("Installed-Size", "0"),
            domain[1].lower() if domain else "none", " ".join(sorted(depends)),
        ])


def main():
    o = options()
    if o["dagPath"].startswith("hdfs:"):
        dag = hdfs("-cat", o["dagPath"])
    else:
        with open(o["dagPath"], "rb") as f:
            dag = f.read()
    target = json.loads(dag)["operators"][0]["params"]["outputPath"]
    post(o, "postStageStarted", {"pid": str(os.getpid())})
    with open(os.environ["DPKG"] + "/status", encoding="utf-8") as f:
        lines = ["package,section,kilobytes,domain,depends", *packages(f.read())]
    hdfs("-put", "-f", "-", target, input="".join(line + "\n" for line in lines).encode())
    print(len(lines) - 1, "packages")
    post(o, "postDataPrepared")
    post(o, "postStageCompleted", None)


if __name__ == "__main__":
    main()
