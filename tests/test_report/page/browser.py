# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A real Chromium without a window, asked by the DevTools protocol through two pipes."""

import json
import os
import select
import shutil
import subprocess
import sys
import time

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
MISSING = 'no chromium here; Debian has it: apt-get install --no-install-recommends chromium'
_FLAGS = (
    '--headless', '--disable-gpu', '--no-sandbox', '--no-first-run', '--disable-extensions',
    '--disable-background-networking', '--disable-dev-shm-usage', '--hide-scrollbars',
    '--force-device-scale-factor=1', '--remote-debugging-pipe',
)  # fmt: skip
# It reads from descriptor 3 and writes to 4.
_START = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3]]
for number, pipe in zip((3, 4), pipes):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
DARK, LIGHT = 'dark', 'light'


def executable():
    """Path of a Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of a Chromium; messages of its pages are kept in ``events``."""

    def __init__(self, profile, seconds=60):
        self.seconds, self.events, self.number, self.rest = seconds, [], 0, b''
        read, self.write = os.pipe()
        self.read, write = os.pipe()
        command = [executable(), *_FLAGS, f'--user-data-dir={profile}', 'about:blank']
        self.process = subprocess.Popen(
            [sys.executable, '-c', _START, str(read), str(write), *command],
            pass_fds=(read, write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read)
        os.close(write)
        self.session = None
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        attached = self.call('Target.attachToTarget', targetId=target, flatten=True)
        self.session = attached['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')

    def close(self):
        """End the process that was started here."""
        self.process.terminate()
        self.process.wait(20)
        os.close(self.read)
        os.close(self.write)

    def call(self, method, **params):
        """Send a command and return what it answers."""
        self.number += 1
        message = {'id': self.number, 'method': method, 'params': params}
        if self.session:
            message['sessionId'] = self.session
        os.write(self.write, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._next()
            if answer.get('id') == self.number:
                assert 'error' not in answer, answer
                return answer['result']
            self.events.append(answer)

    def wait(self, method):
        """Return the parameters of the next event of that kind, one kept or one to come."""
        while True:
            for n, event in enumerate(self.events):
                if event.get('method') == method:
                    return self.events.pop(n)['params']
            self.events.append(self._next())

    def _next(self):
        end = time.monotonic() + self.seconds
        while b'\0' not in self.rest:
            ready, _, _ = select.select([self.read], [], [], max(0, end - time.monotonic()))
            assert ready, 'chromium does not answer'
            piece = os.read(self.read, 2**20)
            assert piece, 'chromium has ended'
            self.rest += piece
        message, _, self.rest = self.rest.partition(b'\0')
        return json.loads(message)

    def open(self, path, width=1600, scheme=LIGHT):
        """Load a file at a width of the window, in light or dark; wait until all is there."""
        metrics = dict(width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call('Emulation.setDeviceMetricsOverride', **metrics)
        wanted = [{'name': 'prefers-color-scheme', 'value': scheme}]
        self.call('Emulation.setEmulatedMedia', features=wanted)
        self.events.clear()
        self.call('Page.navigate', url=path.as_uri())
        self.wait('Page.loadEventFired')

    def value(self, expression):
        """Return what JavaScript makes of an expression, told from outside the page."""
        found = self.call('Runtime.evaluate', expression=expression, returnByValue=True)
        assert 'exceptionDetails' not in found, found
        return found['result'].get('value')

    def complaints(self):
        """What went to the console, and what was not caught."""
        kinds = ('Log.entryAdded', 'Runtime.consoleAPICalled', 'Runtime.exceptionThrown')
        return [event for event in self.events if event.get('method') in kinds]

    def requests(self):
        """Addresses that were asked for."""
        sent = [e for e in self.events if e.get('method') == 'Network.requestWillBeSent']
        return [event['params']['request']['url'] for event in sent]
