// Helia calls Promise.withResolvers, which Node has from version 22 on.
Promise.withResolvers ??= function withResolvers () {
  let resolve, reject
  const promise = new this((fulfil, refuse) => { resolve = fulfil; reject = refuse })
  return { promise, resolve, reject }
}
