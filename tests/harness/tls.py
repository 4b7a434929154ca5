"""TLS on loopback in front of a server that speaks none; its certificate is for `localhost`."""

import asyncio, ssl, threading

from harness.paths import TLS

# What a process is told to trust it by.
TRUST = {"SSL_CERT_FILE": str(TLS / "localhost.pem")}


class Front:
    """Brings what comes on its own port to another one, without the TLS, and counts the connections whose handshakes went well."""

    def __init__(self, port):
        self.to, self.connections, self.loop = port, 0, asyncio.new_event_loop()

    def __enter__(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
        begun = asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=context)
        self.server = self.loop.run_until_complete(begun)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def end(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def address(self):
        return f"https://localhost:{self.server.sockets[0].getsockname()[1]}"

    async def serve(self, *near):
        self.connections += 1
        try:
            far = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            return near[1].close()
        await asyncio.gather(self.bring(near[0], far[1]), self.bring(far[0], near[1]))

    async def bring(self, reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()
