//! `meltemi shop <role>`: the applications of the sample shop, as the image `meltemi/shop` runs them.

use clap::{Args, Subcommand};
use lab::shop::{Application, Question, Role, Visits};
use std::time::Duration;

const HTTP_PORT: u16 = 8080;
const RATINGS_PORT: u16 = 9000;
const STOCK_PORT: u16 = 7000;

/// Arguments of `meltemi shop`.
#[derive(Debug, Args)]
pub struct ShopArgs {
    #[command(subcommand)]
    role: RoleArgs,
    /// Port to listen on; without it 8080, ratings 9000, stock 7000.
    #[arg(long, global = true, env = "PORT")]
    port: Option<u16>,
    /// Version that answers show.
    #[arg(long, global = true, env = "APP_VERSION", default_value = "v1")]
    app_version: String,
    /// Name that answers show.
    #[arg(long, global = true, env = "HOSTNAME", default_value = "shop")]
    instance: String,
    /// Share of requests answered with 503, from 0 to 1.
    #[arg(long, global = true, env = "FAIL_SHARE", default_value_t = 0.0)]
    fail_share: f64,
}

#[derive(Debug, Subcommand)]
enum RoleArgs {
    /// Load on the shop.
    Visitors(VisitorsArgs),
    /// The entrance.
    Frontend {
        /// Authority of the catalog.
        #[arg(long, default_value = "catalog")]
        catalog: String,
    },
    /// Products.
    Catalog {
        /// Authority of the reviews.
        #[arg(long, default_value = "reviews")]
        reviews: String,
        /// Host and port of the stock.
        #[arg(long, default_value = "stock:7000")]
        stock: String,
    },
    /// Reviews.
    Reviews {
        /// Host and port of the ratings.
        #[arg(long, default_value = "ratings:9000")]
        ratings: String,
    },
    /// Stars, over gRPC.
    Ratings,
    /// How many are left, over TCP.
    Stock,
    /// Answers with what it was asked, for tests.
    Echo,
    /// Asks until it is answered with 200, and prints the answer.
    Ask(AskArgs),
}

#[derive(Debug, Args)]
struct AskArgs {
    /// Authority to ask.
    #[arg(long)]
    target: String,
    /// Path to ask for.
    #[arg(long, default_value = "/")]
    path: String,
    /// Give up after this time.
    #[arg(long, default_value = "30s", value_parser = crate::duration::parse)]
    within: Duration,
}

#[derive(Debug, Args)]
struct VisitorsArgs {
    /// Authority of the shop.
    #[arg(long, default_value = "frontend")]
    target: String,
    /// Requests per second.
    #[arg(long, default_value_t = 30.0)]
    rate: f64,
    /// Share of POSTs, from 0 to 1.
    #[arg(long, default_value_t = 0.2)]
    post_share: f64,
    /// Share of requests on a connection of their own, from 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    new_connection_share: f64,
    /// Share of requests with the header `user: tester`, from 0 to 1.
    #[arg(long, default_value_t = 0.25)]
    tester_share: f64,
    /// Bytes of a POST's body.
    #[arg(long, default_value_t = 200)]
    body_bytes: usize,
    /// End after this time.
    #[arg(long, value_parser = crate::duration::parse)]
    duration: Option<Duration>,
}

/// Runs until SIGTERM.
pub fn run(args: ShopArgs) -> anyhow::Result<()> {
    let (role, port) = match args.role {
        RoleArgs::Visitors(visitors) => (Role::Visitors(visits(visitors)), 0),
        RoleArgs::Frontend { catalog } => (Role::Frontend { catalog }, HTTP_PORT),
        RoleArgs::Catalog { reviews, stock } => (Role::Catalog { reviews, stock }, HTTP_PORT),
        RoleArgs::Reviews { ratings } => (Role::Reviews { ratings }, HTTP_PORT),
        RoleArgs::Ratings => (Role::Ratings, RATINGS_PORT),
        RoleArgs::Stock => (Role::Stock, STOCK_PORT),
        RoleArgs::Echo => (Role::Echo, HTTP_PORT),
        RoleArgs::Ask(AskArgs { target, path, within }) => (Role::Ask(Question { target, path, within }), 0),
    };
    let application = Application {
        port: args.port.unwrap_or(port),
        version: args.app_version,
        instance: args.instance,
        fail_share: args.fail_share,
    };
    lab::shop::run(role, application)
}

fn visits(args: VisitorsArgs) -> Visits {
    Visits {
        target: args.target,
        rate: args.rate,
        post_share: args.post_share,
        new_connection_share: args.new_connection_share,
        tester_share: args.tester_share,
        body_bytes: args.body_bytes,
        duration: args.duration,
    }
}
