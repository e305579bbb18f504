import argparse, sys, dataclasses
from . import broadcast
from .measure import measure
from .scenarios import SCENARIOS
from .servers import SERVERS
def main():
    p=argparse.ArgumentParser(); c=p.add_subparsers(dest="command")
    s=c.add_parser("serve"); s.add_argument("--backend",default="native"); s.add_argument("--port",type=int,default=0); s.add_argument("--mode",default="broadcast"); s.add_argument("--reactors",type=int,default=1); s.add_argument("--deflate",action="store_true")
    r=c.add_parser("one"); r.add_argument("scenario"); r.add_argument("server"); r.add_argument("--seconds",type=float)
    a=p.parse_args()
    if a.command=="serve": broadcast.main(a.backend,a.port,a.mode,reactors=a.reactors,compression=a.deflate)
    else: print({k:(round(v,2) if isinstance(v,float) else v) for k,v in dataclasses.asdict(measure(SCENARIOS[a.scenario],SERVERS[a.server],1,seconds=a.seconds)).items()})
