"""A stage program of the old system, in what the master sees of it.

Like the real ones it takes --stageId, --masterHost, --masterPort, --dagPath and --udfPath, refuses any other option with exit
status 1, makes each call on a connection of its own, and ends with 0 whatever goes wrong in between. What it does is said in
its DAG file (JSON, which is YAML as well), in the params of the first operator:

    calls     the calls that it makes, in order: S started, P data prepared, C completed; W waits until waitFor exists
    waitFor   a file
    touch     a file that it makes first of all
    outputPath a file that it writes its stage id to before P (or C)
    exit      its exit status
"""

import getopt
import json
import os
import sys
import time

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
    transport = TSocket(o["masterHost"], int(o["masterPort"]))
    transport.open()
    try:
        protocol = TMultiplexedProtocol(TBinaryProtocol(transport), "SchedulerService")
        result = getattr(SchedulerService.Client(protocol), method)(*args)
        print(method, result.resultCode, result.message, flush=True)
    finally:
        transport.close()


def wait(path):
    deadline = time.monotonic() + 60
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.01)


def main():
    o = options()
    with open(o["dagPath"], encoding="utf-8") as f:
        params = json.load(f)["operators"][0]["params"]
    if "touch" in params:
        open(params["touch"], "w").close()
    for c in params["calls"]:
        if c == "W":
            wait(params["waitFor"])
        elif c == "S":
            post(o, "postStageStarted", o["stageId"], {"pid": str(os.getpid())})
        else:
            if "outputPath" in params:
                with open(params["outputPath"], "w", encoding="utf-8") as f:
                    f.write(o["stageId"] + "\n")
            if c == "P":
                post(o, "postDataPrepared", o["stageId"])
            else:
                post(o, "postStageCompleted", o["stageId"], None)
    return int(params.get("exit", 0))


if __name__ == "__main__":
    sys.exit(main())
