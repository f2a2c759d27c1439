// The part of libp2p's metrics interface that makes Helia's own Bitswap counters readable. Gauges,
// timers and histograms of other parts are accepted and ignored.

export function createCounters () {
  const totals = new Map()
  const counter = name => {
    totals.set(name, 0)
    return {
      increment: (by = 1) => { totals.set(name, totals.get(name) + by) },
      reset: () => { totals.set(name, 0) }
    }
  }
  const ignored = () => ({
    update () {}, increment () {}, decrement () {}, reset () {}, observe () {}, timer: () => () => {}
  })
  return {
    total: name => totals.get(name) ?? 0,
    metrics: {
      trackMultiaddrConnection () {},
      trackProtocolStream () {},
      registerMetric: ignored,
      registerMetricGroup: ignored,
      registerCounter: counter,
      registerCounterGroup: ignored,
      registerHistogram: ignored,
      registerHistogramGroup: ignored,
      registerSummary: ignored,
      registerSummaryGroup: ignored,
      traceFunction: (_name, traced) => traced,
      createTrace () {}
    }
  }
}
