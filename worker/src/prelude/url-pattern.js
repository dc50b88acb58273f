export class URLPattern {}
