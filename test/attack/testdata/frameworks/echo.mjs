// Tells what Node made of a request. The port is the first argument.
import { createServer } from 'node:http'

createServer((req, res) => {
  let body = 0
  req.on('data', (part) => { body += part.length })
  req.on('end', () => {
    const vars = {}
    for (let i = 0; i < req.rawHeaders.length; i += 2) {
      const name = req.rawHeaders[i]
      vars[name] = name in vars ? `${vars[name]}, ${req.rawHeaders[i + 1]}` : req.rawHeaders[i + 1]
    }
    for (const [name, value] of Object.entries(req.headers)) vars['parsed ' + name] = String(value)
    let path = new URL(req.url, 'http://x').pathname
    try { path = decodeURIComponent(path) } catch { /* as it is */ }
    res.setHeader('Content-Type', 'application/json')
    res.end(JSON.stringify({ vars, method: req.method, path, body }))
  })
}).listen(Number(process.argv[2]), '127.0.0.1')
