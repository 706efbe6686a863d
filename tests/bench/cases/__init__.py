"""The cases by name, in the order in which they run."""
from cases import cold, floors, http, memory, mixed

CASES = {
    "floor": floors.floor,
    "hello": http.hello,
    "pinned": http.pinned,
    "calls": http.calls,
    "json": http.json_echo,
    "bodies": http.bodies,
    "cpu": http.cpu,
    "alloc": http.alloc,
    "mixed": mixed.mixed,
    "zipf": mixed.zipf,
    "cold": cold.cold,
    "deploy": cold.deploy,
    "density": memory.density,
    "growth": memory.growth,
}
