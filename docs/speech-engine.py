#!/usr/bin/env python3
"""A speech engine for Carillon in a page: speaks by espeak-ng, understands by any program that turns a WAV into text.

    speech-engine.py 9000 'my-recogniser --language {lang} {wav}'

The program prints what was said; nothing printed means that nothing was understood.
"""
import base64
import json
import shlex
import subprocess
import sys
import tempfile
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def linear(octet):
    """One mu-law octet as a sample (ITU-T G.711)."""
    octet = ~octet & 0xFF
    magnitude = (((octet & 0x0F) << 3) + 0x84) << ((octet & 0x70) >> 4)
    return 0x84 - magnitude if octet & 0x80 else magnitude - 0x84


def recognise(ask):
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        with wave.open(file.name, "wb") as out:
            out.setparams((1, 2, 8000, 0, "NONE", ""))
            octets = base64.b64decode(ask["audio"])
            out.writeframes(b"".join(linear(o).to_bytes(2, "little", signed=True) for o in octets))
        words = [w.format(wav=file.name, lang=ask["language"]) for w in shlex.split(sys.argv[2])]
        text = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    return {"nbest": [{"text": text, "confidence": 0.9}] if text else []}


def speak(ask):
    words = ["espeak-ng", "-v", ask["lang"] or "en", "-s", str(int(160 * ask["rate"])), "--stdout", "--stdin"]
    return subprocess.run(words, input=ask["text"].encode(), capture_output=True, timeout=10, check=True).stdout


class Engine(BaseHTTPRequestHandler):
    def do_POST(self):
        ask = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            if self.path.endswith("/recognise"):
                kind, body = "application/json", json.dumps(recognise(ask)).encode()
            else:
                kind, body = "audio/wav", speak(ask)
            self.send_response(200)
        except Exception as error:  # the caller hears the document's fallback
            kind, body = "text/plain", str(error).encode()
            self.send_response(500)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """What callers say is in no log."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Engine).serve_forever()
