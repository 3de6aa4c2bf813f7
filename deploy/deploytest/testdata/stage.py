"""A stage program of the old system, in what the master sees of it.

It takes the options of one, refuses others with exit status 1, makes each call on a connection of its own over an unbuffered
socket, and ends with 0. What it does is said in its DAG file (JSON, which is YAML as well), in the params of the first operator:

    calls       what it does, in order: S started, P writes its stage id to outputPath and posts data prepared, C completed;
                a digit waits for the file of that number
    waitFor     the path of those files, without the number
    outputPath  where it writes to
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
        result = getattr(SchedulerService.Client(protocol), method)(o["stageId"], *args)
        print(method, result.resultCode, result.message, flush=True)
    finally:
        transport.close()


def wait(path):
    deadline = time.monotonic() + 300
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.05)


def main():
    o = options()
    with open(o["dagPath"], encoding="utf-8") as f:
        params = json.load(f)["operators"][0]["params"]
    for c in params["calls"]:
        if c == "S":
            post(o, "postStageStarted", {"pid": str(os.getpid())})
        elif c == "P":
            with open(params["outputPath"], "w", encoding="utf-8") as f:
                f.write(o["stageId"] + "\n")
            post(o, "postDataPrepared")
        elif c == "C":
            post(o, "postStageCompleted", None)
        else:
            wait(params["waitFor"] + c)


if __name__ == "__main__":
    main()
