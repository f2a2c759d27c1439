// A Helia node as a peer for tests: TCP on loopback, noise, yamux, Bitswap and nothing else. No
// routing, no bootstrap, no HTTP gateways, no discovery; blocks live in memory. lines.js says how it
// is spoken to; each command below takes the fields of its line.

import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import * as dagCbor from '@ipld/dag-cbor'
import * as dagJson from '@ipld/dag-json'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createHeliaLight } from 'helia'
import { exporter } from 'ipfs-unixfs-exporter'
import { importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { CID } from 'multiformats/cid'
import { sha512 } from 'multiformats/hashes/sha2'
import { createCounters } from './counters.js'
import { serve } from './lines.js'

const counters = createCounters()
const helia = withBitswap(withLibp2pLight(createHeliaLight({
  codecs: [dagCbor, dagJson],
  hashers: [sha512],
  metrics: counters.metrics
}), {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // libp2p refuses to dial private addresses only in browsers, but say it: every peer is on loopback.
  connectionGater: { denyDialMultiaddr: () => false },
  // A connection is dropped when a ping takes 5 s by default, which happens when all tests start their peers.
  connectionMonitor: { pingTimeout: { minTimeout: 60_000 } },
  services: { identify: identify() }
}))

// Blocks that are here already; asking `helia.blockstore` for one would ask the network.
const local = () => helia.blockstore.unwrap()

async function collect (chunks) {
  const parts = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts)
}

// What is below a folder, for the importer: directories themselves only if nothing is in them.
async function * below (folder, prefix = '') {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    const name = prefix + entry.name
    if (!entry.isDirectory()) {
      yield { path: name, content: createReadStream(path) }
    } else if ((await readdir(path)).length === 0) {
      yield { path: name }
    } else {
      yield * below(path, `${name}/`)
    }
  }
}

async function write (entry, path) {
  if (entry.type === 'directory') {
    await mkdir(path, { recursive: true })
    for await (const child of entry.entries()) {
      await write(await exporter(child.cid, helia.blockstore), join(path, child.name))
    }
  } else {
    await pipeline(Readable.from(entry.content()), createWriteStream(path))
  }
}

serve({
  async start () {
    await helia.start()
    return { peer: helia.libp2p.peerId.toString(), addrs: helia.libp2p.getMultiaddrs().map(String) }
  },
  async stop () {
    await helia.stop()
  },
  // `profile` is an IPIP-499 name; the other options override what it says.
  async add ({ path, profile, cidVersion, rawLeaves, chunkSize, fanout }) {
    const options = { profile, cidVersion, rawLeaves }
    if (chunkSize != null) options.chunker = fixedSize({ chunkSize })
    if (fanout != null) options.layout = balanced({ maxChildrenPerNode: fanout })
    let root
    for await (const entry of importer([{ content: createReadStream(path) }], helia.blockstore, options)) {
      root = entry.cid
    }
    return root.toString()
  },
  async addTree ({ path, profile }) {
    let root
    for await (const entry of importer(below(path), helia.blockstore, { profile, wrapWithDirectory: true })) {
      root = entry.cid
    }
    return root.toString()
  },
  // Whether the bytes hash to the CID is the caller's matter.
  async blockPut ({ cid, data }) {
    await helia.blockstore.put(CID.parse(cid), Buffer.from(data, 'base64'))
  },
  async blockGet ({ cid }) {
    return (await collect(helia.blockstore.get(CID.parse(cid)))).toString('base64')
  },
  async has ({ cid }) {
    return local().has(CID.parse(cid))
  },
  async get ({ cid, path }) {
    await write(await exporter(CID.parse(cid), helia.blockstore), path)
  },
  async pin ({ cid }) {
    for await (const _ of helia.pins.add(CID.parse(cid))) { /* each pinned block is yielded */ }
  },
  async connect ({ addr }) {
    await helia.libp2p.dial(multiaddr(addr))
  },
  async disconnect ({ peer }) {
    await helia.libp2p.hangUp(peerIdFromString(peer))
  },
  async peers () {
    return helia.libp2p.getPeers().map(String)
  },
  async bitswapStreams ({ peer }) {
    return helia.libp2p.getConnections(peerIdFromString(peer))
      .flatMap(connection => connection.streams)
      .filter(stream => stream.direction === 'inbound' && stream.protocol?.startsWith('/ipfs/bitswap'))
      .length
  },
  // Helia 7 registers counters of what it received but never counts with them; what arrived in a
  // fresh store, from which Bitswap is the only way in, tells the same.
  async stat () {
    let blocksStored = 0
    let bytesStored = 0
    for await (const { bytes } of local().getAll()) {
      blocksStored += 1
      for await (const chunk of bytes) bytesStored += chunk.byteLength
    }
    return {
      blocksStored,
      bytesStored,
      blocksSent: counters.total('helia_bitswap_sent_blocks_total'),
      bytesSent: counters.total('helia_bitswap_sent_data_bytes_total')
    }
  }
})
