export function setTimeout() {}
export function setInterval() {}
export function clearTimeout() {}
export function clearInterval() {}
