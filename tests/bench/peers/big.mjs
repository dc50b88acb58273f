// A bundle of about half a megabyte that uses little of itself.
import * as _ from "lodash-es";
import * as z from "zod";
globalThis.keep = [_, z];
const Shape = z.object({ hello: z.string() });
export default { fetch() { return Response.json(Shape.parse({ hello: _.capitalize("world") })); } };
