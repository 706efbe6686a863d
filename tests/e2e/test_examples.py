"""test_examples.py - each example, and what tools/run serves, through its
real trigger."""
import collections
import csv
import hashlib
import hmac
import importlib.util
import json
import shutil
import struct
import time
import zlib

import harness
from harness import ROOT, wait_for


class ExampleCase(harness.TestCase):
    def serve(self, functions, uploads=False):
        server = self.unstarted()
        shutil.copytree(ROOT / functions, server.functions, dirs_exist_ok=True)
        if uploads:
            server.make_uploads("in", "out")
        server.start()
        wait_for(lambda: all(f["state"] == "serving" for f in
                             server.functions_listed().values()) and
                 server.functions_listed(), "all to serve")
        return server

    def output(self, server, name):
        path = server.uploads / "out" / name
        wait_for(path.exists, f"the output {name}", 30)
        return path


class Hello(ExampleCase):
    def test_hello_greets_in_the_callers_language(self):
        server = self.serve("examples/hello/functions")
        self.assert_ok(server.get("/hello"), "Hello, you!\n")
        reply = server.get("/hello?name=Ada",
                           {"Accept-Language": "xx,fr-CH;q=0.9,en;q=0.8"})
        self.assert_ok(reply, "Bonjour, Ada!\n")
        self.assertEqual(reply.headers["content-language"], "fr")


class JsonApi(ExampleCase):
    JSON = {"Content-Type": "application/json"}

    def setUp(self):
        super().setUp()
        self.up = self.serve("examples/json-api/functions")

    def send(self, method, path, value=None, headers=JSON):
        body = None if value is None else json.dumps(value)
        return self.up.http(method, path, body, headers)

    def test_books_can_be_listed_added_changed_and_removed(self):
        books = self.up.get("/books?author=Jules%20Verne").json()["books"]
        self.assertEqual([b["id"] for b in books], [1, 2])
        new = {"title": "Somnium", "author": "Johannes Kepler", "year": 1634}
        reply = self.send("POST", "/books", new)
        self.assertEqual((reply.status, reply.headers["location"]),
                         (201, "/books/4"))
        self.assertEqual(self.up.get("/books/4").json(), dict(new, id=4))
        reply = self.send("PUT", "/books/4", dict(new, year=1635))
        self.assertEqual((reply.status, reply.json()["year"]), (200, 1635))
        self.assertEqual(self.send("DELETE", "/books/4").status, 204)
        self.assertEqual(self.up.get("/books/4").status, 404)
        self.assertEqual(len(self.up.get("/books?limit=2").json()["books"]), 2)

    def test_every_mistake_is_named_at_once(self):
        reply = self.send("POST", "/books", {"title": "", "yeer": 1634,
                                             "year": 1.5})
        self.assertEqual(reply.status, 422)
        self.assertEqual(reply.headers["content-type"],
                         "application/problem+json")
        self.assertEqual([e["field"] for e in reply.json()["errors"]],
                         ["author", "title", "year", "yeer"])

    def test_wrong_requests_get_their_own_status(self):
        for method, path, body, status in (
                ("POST", "/books", None, 400), ("POST", "/books", [1], 422),
                ("GET", "/books/nine", None, 404),
                ("GET", "/books?limit=1000", None, 400),
                ("PUT", "/books", {}, 405), ("PATCH", "/books", {}, 405),
                ("GET", "/books/1/pages", None, 404)):
            with self.subTest(method=method, path=path):
                self.assertEqual(self.send(method, path, body).status, status)
        self.assertEqual(self.up.post("/books", "title=x").status, 415)

    def test_parameters_come_from_the_manifests_route(self):
        self.assertEqual(self.up.get("/authors/Jules%20Verne").json(),
                         {"name": "Jules Verne", "born": 1828})
        self.assertEqual(self.up.get("/authors/Nobody").status, 404)


class SalesReport(ExampleCase):
    def maker(self):
        spec = importlib.util.spec_from_file_location(
            "make_csv", ROOT / "examples/sales-report/make_csv.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def test_forty_thousand_rows_become_the_expected_summary(self):
        server = self.serve("examples/sales-report/functions", uploads=True)
        path = server.uploads / "in" / "sales.csv"
        with open(path, "w", newline="") as file:
            self.maker().write(file)
        expected = ROOT / "examples/sales-report/expected/sales.summary.csv"
        got = self.output(server, "sales.summary.csv")
        self.assertEqual(got.read_text(), expected.read_text())
        report = json.loads(self.output(server, "sales.summary.json")
                            .read_text())
        self.assertEqual((report["rows"], report["problem_count"]), (40000, 3))
        self.assertEqual([p["line"] for p in report["problems"]],
                         [1002, 20002, 30002])
        self.check_independently(path, report)

    def check_independently(self, path, report):
        regions = collections.Counter()
        with open(path, newline="") as file:
            for row in list(csv.reader(file))[1:]:
                if len(row) == 5 and len(row[0]) == 10 and row[3].isdigit():
                    regions[row[1]] += int(row[3]) * int(
                        row[4].replace(".", ""))
        self.assertEqual(
            {k: f"{v // 100}.{v % 100:02}" for k, v in regions.items()},
            {k: v["revenue"] for k, v in report["region"].items()})

    def test_quotes_and_line_ends_within_fields_are_read(self):
        server = self.serve("examples/sales-report/functions", uploads=True)
        (server.uploads / "in" / "odd.csv").write_text(
            "date,region,product,quantity,unit_price\r\n"
            '2025-01-01,"no\nrth","a ""b"", c",2,1.50\r\n'
            "2025-01-02,south,,1,0.01")
        text = self.output(server, "odd.summary.csv").read_text()
        self.assertIn('region,"no\nrth",1,2,3.00\n', text)
        self.assertIn('product,"a ""b"", c",1,2,3.00\n', text)
        self.assertIn("total,all,2,3,3.01\n", text)

    def test_a_wrong_head_line_is_listed_as_failed(self):
        server = self.serve("examples/sales-report/functions", uploads=True)
        (server.uploads / "in" / "bad.csv").write_text("a,b\n1,2\n")
        event = wait_for(lambda: server.events(state="failed"), "it", 30)[0]
        self.assertIn("column 1", event["error"])


class Webhook(ExampleCase):
    BODY = '{"type":"order.paid","order":"A-17"}'

    def send(self, server, body=BODY, secret="change-me", age=0, header=None):
        now = int(time.time()) - age
        mac = hmac.new(secret.encode(), f"{now}.{body}".encode(),
                       hashlib.sha256).hexdigest()
        return server.post("/webhooks/shop", body, {
            "Webhook-Signature": header or f"t={now},v1={mac}"})

    def test_only_who_knows_the_secret_is_heard(self):
        server = self.serve("examples/webhook/functions")
        reply = self.send(server)
        self.assert_ok(reply)
        self.assertEqual(reply.json(), {"accepted": True, "order": "A-17"})
        self.assertEqual(self.send(server, secret="guess").status, 401)
        self.assertEqual(self.send(server, age=301 + 5).status, 401)
        self.assertEqual(self.send(server, age=-306).status, 401)
        self.assertEqual(self.send(server, header="nonsense").status, 400)
        self.assertEqual(server.post("/webhooks/shop", self.BODY).status, 400)
        self.assertEqual(self.send(server, body="{").status, 400)
        self.assertEqual(self.send(server, body='{"type":"x"}').status, 422)
        self.assertEqual(self.send(server, body='"x"').status, 422)
        self.assert_fails(server.get("/webhooks/shop"), "method_not_allowed")
        self.assert_fails(self.send(server, body="x" * 65537),
                          "body_too_long")


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + \
            struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + b"\xff\0\0" * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + \
        chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def jpeg(width, height, frame=0xC0):
    """The segments of a JPEG up to its frame; nobody looks further."""
    def segment(marker, data):
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
    return b"\xff\xd8" + segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0") + \
        segment(0xE1, b"\xff\xc0" * 15000) + segment(0xDB, bytes(65)) + \
        segment(0xC4, bytes(20)) + b"\xff" + segment(
            frame, struct.pack(">BHHB", 8, height, width, 3) + bytes(9)) + \
        b"\xff\xda" + bytes(50)


class ImageMetadata(ExampleCase):
    def test_dimensions_of_png_and_jpeg(self):
        server = self.serve("examples/image-metadata/functions", uploads=True)
        images = {"a.png": (png(320, 200), ("png", 320, 200)),
                  "b.jpg": (jpeg(4000, 3000), ("jpeg", 4000, 3000)),
                  "c.jpeg": (jpeg(17, 65500, 0xC2), ("jpeg", 17, 65500))}
        for name, (data, _) in images.items():
            (server.uploads / "in" / name).write_bytes(data)
        for name, (data, expected) in images.items():
            found = json.loads(self.output(server, name + ".json").read_text())
            self.assertEqual((found["format"], found["width"],
                              found["height"]), expected)
            self.assertEqual(found["sha256"],
                             hashlib.sha256(data).hexdigest())
        self.assertTrue(json.loads(self.output(server, "c.jpeg.json")
                                   .read_text())["progressive"])

    def test_what_is_no_image_is_listed_as_failed(self):
        server = self.serve("examples/image-metadata/functions", uploads=True)
        for name, data in (("text.png", b"no image"), ("cut.png", png(9, 9)[:20]),
                           ("cut.jpg", jpeg(9, 9)[:100]), ("empty.png", b"")):
            (server.uploads / "in" / name).write_bytes(data)
        wait_for(lambda: len(server.events(state="failed")) == 4, "four", 60)
        self.assertEqual(list((server.uploads / "out").glob("*.json")), [])


class Served(ExampleCase):
    """What tools/run serves by default."""

    def test_hello_and_convert_answer(self):
        server = self.serve("functions")
        self.assertIn("Hello, Ada! This is hello@1",
                      server.get("/hello?name=Ada").text())
        reply = server.get("/convert/length?value=42.195&from=km&to=mi")
        self.assertAlmostEqual(reply.json()["result"], 26.2187575, 6)
        self.assertEqual(server.get("/convert/mass").json()["units"],
                         ["g", "kg", "lb", "oz", "t"])
        self.assertEqual(server.get("/convert/love").status, 404)
        self.assertEqual(server.get("/convert/time?value=x").status, 400)

    def test_wordcount_counts_an_uploaded_text(self):
        server = self.serve("functions", uploads=True)
        (server.uploads / "in" / "text.txt").write_text(
            "The moon, the Moon!\nAnd the sea\n")
        found = json.loads(self.output(server, "text.txt.json").read_text())
        self.assertEqual((found["lines"], found["words"], found["different"]),
                         (2, 7, 4))
        self.assertEqual(found["frequent"][0], {"word": "the", "count": 3})


if __name__ == "__main__":
    harness.main()
