// One request a line on stdin, one answer a line on stdout:
//   {"id": 7, "do": "has", "cid": "bafk..."}   ->   {"id": 7, "ok": true}   or   {"id": 7, "error": "..."}
// Requests run side by side, so a slow one holds nobody up. When stdin ends, so does the process: a
// driver that dies leaves no peer behind.

import { createInterface } from 'node:readline'

export function serve (commands) {
  const answer = line => process.stdout.write(JSON.stringify(line) + '\n')
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity })
  lines.on('line', async line => {
    const { id, do: name, ...args } = JSON.parse(line)
    try {
      if (!Object.hasOwn(commands, name)) throw new Error(`there is no command "${name}"`)
      answer({ id, ok: await commands[name](args) ?? null })
    } catch (error) {
      answer({ id, error: error?.stack ?? String(error) })
    }
  })
  lines.on('close', () => process.exit(0))
}
