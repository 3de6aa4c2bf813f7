"""A client of the old system: client.py HOST PORT plain|framed.

It reads calls from its standard input, one a line (method and arguments, separated by tabs), makes each on a connection of
its own, and prints the answer as a line of JSON.
"""

import json
import sys

from fdu.daslab.thrift.base.ttypes import ResultCode, ServiceBaseResult
from fdu.daslab.thrift.master import SchedulerService, TaskService
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TApplicationException
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TFramedTransport

TASKS = {"submitPlan", "listAllTask", "getTaskInfo", "getStageInfo", "getStageIdOfTask", "suspendStage", "continueStage",
         "getStageResult"}


def call(host, port, framed, method, args):
    # Like the old programs: no buffer around the socket, so that each field is written on its own.
    transport = TSocket(host, port)
    if framed:
        transport = TFramedTransport(transport)
    protocol = TBinaryProtocol(transport)
    transport.open()
    try:
        if method in TASKS:
            client = TaskService.Client(TMultiplexedProtocol(protocol, "TaskService"))
        else:
            client = SchedulerService.Client(TMultiplexedProtocol(protocol, "SchedulerService"))
            if method != "postDataPrepared":
                # submitMsg may be null.
                message = dict(pair.split("=", 1) for pair in args[1:]) or None
                args = [args[0], message]
        return getattr(client, method)(*args)
    finally:
        transport.close()


def plain(value):
    if isinstance(value, ServiceBaseResult):
        return {"resultCode": ResultCode._VALUES_TO_NAMES[value.resultCode], "message": value.message}
    return value


def main():
    host, port, framed = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "framed"
    for line in sys.stdin:
        method, *args = line.rstrip("\n").split("\t")
        try:
            answer = {"value": plain(call(host, port, framed, method, args))}
        except TApplicationException as e:
            answer = {"exception": "TApplicationException", "type": e.type, "message": e.message}
        except Exception as e:
            answer = {"exception": type(e).__name__, "message": str(e)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
