"""test_metering.py - one record per invocation, and what it adds up to."""
import json
import re
from decimal import Decimal

import harness
from harness import BUSY, wait_for

SLOW = BUSY + """return function(e, ctx)
  if e.query.ms then busy(ctx, tonumber(e.query.ms)) end
  if e.query.fail then error("no") end
  return "ok"
end"""

CARD = {"name": "test-card", "currency": "XTS", "cards": [
    {"valid_from": "2020-01-01", "per_request_pico": 1000000,
     "per_gb_second_pico": 500000000000}]}


class Usage(harness.TestCase):
    def wait_for_count(self, server, n, function="f"):
        def there():
            rows = server.usage(function)["rows"]
            return rows and rows[0]["invocations"] == n and rows[0]
        return wait_for(there, f"{n} invocations in the ledger")

    def test_usage_is_the_sum_of_the_receipts(self):
        server = self.server()
        server.deploy("f", SLOW, {"memory_mb": 128})
        replies = [server.get(f"/f?ms={ms}") for ms in (1, 5, 20, 40)]
        replies += [server.get("/f?fail=1")]
        replies += harness.at_once(10, lambda _: server.get("/f?ms=3"))
        row = self.wait_for_count(server, len(replies))
        billed = sum(r.billed_ms for r in replies)
        self.assertEqual(row["billed_ms"], billed)
        self.assertEqual(row["errors"], 1)
        self.assertEqual(row["cold"],
                         len([r for r in replies if r.start[0] != "warm"]))
        self.assertEqual(Decimal(row["gb_s"]),
                         Decimal(billed) * 128 / 1024 / 1000)
        records = [server.record(r.request_id) for r in replies]
        self.assertEqual(Decimal(row["cost"]),
                         sum(Decimal(r["cost"]) for r in records))
        self.assertEqual(row["bytes_out"],
                         sum(r["bytes_out"] for r in records))
        self.assertEqual(server.usage()["total"]["billed_ms"], billed)

    def test_usage_by_day_hour_and_function_agree(self):
        server = self.server()
        for name in ("f", "g"):
            server.deploy(name, SLOW)
            for _ in range(3):
                server.get(f"/{name}?ms=2")
            self.wait_for_count(server, 3, name)
        totals = [server.usage(by=by)["total"]
                  for by in ("function", "day", "hour")]
        for total in totals:
            total.pop("key", None)
        self.assertEqual(totals[0], totals[1])
        self.assertEqual(totals[1], totals[2])
        keys = [row["key"] for row in server.usage()["rows"]]
        self.assertEqual(keys, ["f", "g"])
        self.assertRegex(server.usage(by="day")["rows"][0]["key"],
                         r"^\d{4}-\d\d-\d\d$")
        self.assertRegex(server.usage(by="hour")["rows"][0]["key"],
                         r"^\d{4}-\d\d-\d\dT\d\d$")

    def test_metrics_count_what_the_ledger_counts(self):
        server = self.server()
        server.deploy("f", SLOW)
        for _ in range(7):
            server.get("/f")
        server.get("/f?fail=1")
        self.wait_for_count(server, 8)
        counts = [value for name, value in server.metrics().items()
                  if name.startswith("perilune_invocations_total{")
                  and 'function="f"' in name]
        self.assertEqual(sum(counts), 8)


class Log(harness.TestCase):
    def test_so_many_lines_a_second_and_how_many_more(self):
        """Every invocation has a line in the log, or is counted in one; the
        ledger has them all."""
        server = self.server({"max_log_invocations": 3})
        server.deploy("f", "return function() return 'hi' end")
        for _ in range(60):
            self.assert_ok(server.get("/f"))

        def lines():
            path = server.state / "log" / "perilune.log"
            return [json.loads(x) for x in path.read_text().splitlines()]

        def counted():
            more = [re.match(r"(\d+) more invocations", x["message"])
                    for x in lines()]
            logged = [x for x in lines() if x["message"] == "invocation"]
            return len(logged) + sum(int(m[1]) for m in more if m), logged

        wait_for(lambda: counted()[0] == 60, "all to be accounted for")
        logged = counted()[1]
        seconds = {}
        for line in logged:
            second = line["fields"]["time"][:19]
            seconds[second] = seconds.get(second, 0) + 1
        self.assertGreater(len(logged), 0)
        self.assertLessEqual(max(seconds.values()), 3, seconds)
        wait_for(lambda: json.loads(server.cli(
            "usage", "--json").stdout)["total"]["invocations"] == 60,
            "the ledger")


class Billing(harness.TestCase):
    def test_handler_time_is_rounded_up_to_a_millisecond(self):
        server = self.server()
        server.deploy("f", SLOW)
        server.get("/f")
        for ms in (0, 3, 25):
            reply = server.get(f"/f?ms={ms}")
            record = server.record(reply.request_id)
            self.assertEqual(record["start"]["kind"], "warm")
            self.assertEqual(reply.billed_ms,
                             max(1, -(-record["us"]["handler"] // 1000)))
            self.assertGreaterEqual(reply.billed_ms, ms)

    def test_init_is_billed_when_the_request_waited_for_it(self):
        server = self.server()
        server.deploy("f", "local n = 0 for i = 1, 3e6 do n = n + i end "
                      "return function() return 'ok' end")
        built = server.invoke("f", start="build")["record"]
        self.assertGreater(built["us"]["init"], 1000)
        self.assertEqual(built["billed_ms"],
                         -(-(built["us"]["handler"] + built["us"]["init"])
                           // 1000))
        image = server.invoke("f", start="image")["record"]
        self.assertEqual(image["billed_ms"],
                         max(1, -(-image["us"]["handler"] // 1000)))
        self.assertLess(image["billed_ms"], built["billed_ms"])

    def test_waiting_in_the_queue_is_not_billed(self):
        server = self.server()
        server.deploy("f", SLOW, {"max_workers": 1, "timeout_ms": 30000})
        replies = harness.at_once(5, lambda _: server.get("/f?ms=200"))
        queued = max(r.timing_us["queue"] for r in replies)
        self.assertGreater(queued, 200_000)
        for reply in replies:
            self.assertLess(reply.billed_ms, 200 + 150)

    def test_rejections_and_platform_failures_cost_nothing(self):
        server = self.server({"max_queue": 1})
        server.deploy("f", SLOW, {"max_workers": 1, "timeout_ms": 30000})
        replies = harness.at_once(6, lambda _: server.get("/f?ms=300"))
        rejected = [r for r in replies if r.status == 429]
        self.assertTrue(rejected)
        for reply in rejected:
            record = server.record(reply.request_id)
            self.assertEqual((record["billed_ms"], Decimal(record["cost"]),
                              record["outcome"], record["start"]["kind"]),
                             (0, 0, "rejected", "none"))
        running = harness.Background(lambda: server.get("/f?ms=2000"))
        worker = server.wait_for_running("f")[0]
        harness.Process(worker["pid"]).kill()
        record = server.record(running.result().request_id)
        self.assertEqual((record["outcome"], record["billed_ms"]),
                         ("crashed", 0))

    def test_an_error_and_a_timeout_are_billed(self):
        server = self.server()
        server.deploy("f", SLOW, {"timeout_ms": 100})
        server.get("/f")
        self.assertGreaterEqual(server.get("/f?fail=1").billed_ms, 1)
        late = server.get("/f?ms=5000")
        self.assertEqual(late.status, 504)
        self.assertGreaterEqual(late.billed_ms, 100)
        self.assertLess(late.billed_ms, 1000)

    def test_cpu_and_memory_are_measured_from_outside(self):
        server = self.server()
        server.deploy("f", """return function()
            local t = {} for i = 1, 40000 do t[i] = ("x"):rep(50) .. i end
            return tostring(#t) end""")
        reply = server.get("/f")
        record = server.record(reply.request_id)
        self.assertGreater(record["cpu_us"], 500)
        self.assertLess(record["cpu_us"], 10_000_000)
        self.assertGreater(record["peak_kb"], 2000)
        self.assertLess(record["peak_kb"], 64 * 1024)


class Prices(harness.TestCase):
    def card(self, server, card):
        path = server.root / "card.json"
        path.write_text(card if isinstance(card, str) else json.dumps(card))
        return str(path)

    def test_the_cost_is_the_card_applied_exactly(self):
        server = self.unstarted()
        server.config = {"price_card": self.card(server, CARD)}
        server.start()
        server.deploy("f", SLOW, {"memory_mb": 64})
        reply = server.get("/f?ms=10")
        record = server.record(reply.request_id)
        pico = Decimal(10) ** 12
        gb_second = Decimal("0.5") * record["billed_ms"] * 64 / 1024 / 1000
        exact = Decimal("0.000001") + gb_second
        self.assertLessEqual(abs(Decimal(record["cost"]) - exact), 1 / pico)
        usage = server.usage()
        self.assertIn("test-card", usage["card"])
        self.assertEqual(usage["currency"], "XTS")
        self.assertIn("test-card", server.cli("usage").stdout)

    def test_the_shipped_card_is_named(self):
        server = self.server()
        usage = server.usage()
        self.assertTrue(usage["card"])
        self.assertTrue(usage["currency"])
        self.assertIn(usage["card"].split()[0], server.cli("usage").stdout)

    def test_a_broken_card_stops_the_start_and_says_why(self):
        for card, word in (("{", "line"), ({"name": "x"}, "cards|currency"),
                           (json.dumps(CARD).replace("500000000000", '"dear"'),
                            "per_gb_second")):
            with self.subTest(card=card):
                server = self.unstarted()
                server.config = {"price_card": self.card(server, card)}
                server.launch()
                self.assertNotEqual(server.process.wait(20), 0)
                self.assertRegex(server.log(), word)
                self.assertIn("card.json", server.log())

    def test_a_missing_card_stops_the_start_and_says_which(self):
        server = self.unstarted({"price_card": "/nowhere/card.json"})
        server.launch()
        self.assertNotEqual(server.process.wait(20), 0)
        self.assertIn("/nowhere/card.json", server.log())


class Durability(harness.TestCase):
    def test_a_killed_gateway_loses_no_record_of_what_was_answered(self):
        server = self.server()
        server.deploy("f", SLOW)
        ids = [server.get("/f").request_id for _ in range(50)]
        for request_id in ids[:1]:
            server.record(request_id)
        server.gateway().kill()
        wait_for(lambda: server.get("/f").status == 200, "a new gateway")
        row = wait_for(lambda: (rows := server.usage("f")["rows"]) and
                       rows[0]["invocations"] >= 51 and rows[0],
                       "all records")
        self.assertGreaterEqual(row["invocations"], 51)

    def test_the_ledger_survives_kill_9_of_everything(self):
        server = self.server()
        server.deploy("f", SLOW)
        billed = sum(server.get("/f?ms=2").billed_ms for _ in range(30))
        server.kill_everything()
        server.start()
        row = wait_for(lambda: (rows := server.usage("f")["rows"]) and rows[0],
                       "the records")
        self.assertEqual((row["invocations"], row["billed_ms"]), (30, billed))

    def test_killing_the_gateway_under_load_loses_no_answered_request(self):
        server = self.server()
        server.deploy("f", SLOW)
        answered, stop = [], []

        def caller(_):
            while not stop:
                try:
                    reply = server.get("/f", timeout=10)
                    if reply.status == 200:
                        answered.append(reply.request_id)
                except OSError:
                    pass
                except harness.http.client.HTTPException:
                    pass
        callers = harness.Background(lambda: harness.at_once(4, caller))
        for round in range(3):
            goal = len(answered) + 50
            wait_for(lambda: len(answered) >= goal, "answers")
            gateway = server.gateway()
            gateway.kill()
            wait_for(lambda: not gateway.alive(), "its death")
        goal = len(answered) + 20
        wait_for(lambda: len(answered) >= goal, "answers")
        stop.append(True)
        callers.result()
        self.assertEqual(len(set(answered)), len(answered))
        wait_for(lambda: server.usage("f")["rows"][0]["invocations"]
                 >= len(answered), "a record for each answer")

    def test_a_clean_stop_flushes_everything(self):
        server = self.server()
        server.deploy("f", SLOW)
        for _ in range(25):
            server.get("/f")
        self.assertEqual(server.terminate(), 0)
        server.start()
        self.assertEqual(server.usage("f")["rows"][0]["invocations"], 25)


if __name__ == "__main__":
    harness.main()
