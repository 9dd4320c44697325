"""The official Node client streams through `effortctl serve`."""

from __future__ import annotations

import json
import os
import subprocess

SCRIPT = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "s3cret", maxRetries: 2 });
const messages = [{ role: "user", content: "What is 17*24?" }];
const told = {};

const chat = await client.chat.completions.create({
  model: "effortctl/auto", messages, stream: true, stream_options: { include_usage: true },
});
told.chat = "";
for await (const chunk of chat) {
  told.chat += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) told.tokens = chunk.usage.completion_tokens;
}

told.responses = "";
for await (const event of await client.responses.create({
  model: "effortctl/auto", input: "What is 17*24?", stream: true,
})) if (event.type === "response.output_text.delta") told.responses += event.delta;

const { data, response } = await client.chat.completions
  .create({ model: "effortctl/auto", messages }).withResponse();
told.plain = data.choices[0].message.content;
told.attempts = response.headers.get("x-effortctl-attempts");

try {
  await client.chat.completions.create({
    model: "effortctl/auto", messages, effortctl: { verify: "number:7", strict: true },
  });
} catch (error) { told.status = error.status; told.code = error.code; }

const all = await Promise.all(Array.from({ length: 20 }, async () => {
  let text = "";
  for await (const chunk of await client.chat.completions.create({
    model: "effortctl/auto", messages, stream: true,
  })) text += chunk.choices[0]?.delta?.content ?? "";
  return text;
}));
told.many = all.filter((text) => text === "408").length;
console.log(JSON.stringify(told));
"""


def test_the_official_node_client_streams(serve, node_folder):
    proxy = serve(
        lambda request: "408" if request.effort == "high" else "41",
        verify=["number:408"],
        token="s3cret",
    )
    (node_folder / "main.mjs").write_text(SCRIPT)
    done = subprocess.run(
        ["node", "main.mjs"],
        cwd=node_folder,
        env={"PATH": os.environ["PATH"], "BASE_URL": proxy.base_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("tokens") > 0
    assert told == {
        "chat": "408",
        "responses": "408",
        "plain": "408",
        "attempts": "2",
        "status": 422,
        "code": "unverified",
        "many": 20,
    }
